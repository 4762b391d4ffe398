package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
)

// inflate decompresses messages, which brokers compress if a topic's settings say so. It gives up before they take more memory
// than there may be.
func inflate(how compress.Compression, packed []byte, bytesMax int) ([]byte, error) {
	codec := how.Codec()
	switch {
	case codec == nil:
		return nil, fmt.Errorf("messages are compressed in an unknown way (%d)", int(how))
	case bytesMax < 0:
		return nil, errTooLarge
	case how == compress.Zstd:
		text, err := zstdDecoder().DecodeAll(packed, nil)
		if err == nil && len(text) > bytesMax {
			err = errTooLarge
		}
		return text, inWords(err)
	case how == compress.Snappy:
		if err := checkSnappy(packed, bytesMax); err != nil {
			return nil, err
		}
	}
	reader := codec.NewReader(bytes.NewReader(packed))
	defer reader.Close()
	var text bytes.Buffer
	n, err := io.Copy(&text, io.LimitReader(reader, int64(bytesMax)+1))
	if err == nil && n > int64(bytesMax) {
		err = errTooLarge
	}
	return text.Bytes(), inWords(err)
}

func inWords(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("messages cannot be decompressed: %w", err)
}

// zstdDecoder has bounds, which the library's own decoder has not: the head of what is compressed says how much memory it takes.
var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(memoryMax), zstd.WithDecoderMaxWindow(memoryMax/4))
	if err != nil {
		panic(err) // the options are wrong
	}
	return decoder
})

const (
	snappyMark  = "\x82SNAPPY\x00" // before blocks with lengths, as the Java library writes them
	snappyBegin = 16               // after the mark and two versions
)

// checkSnappy looks at the lengths in what Snappy has compressed: the library takes as much memory as they say.
func checkSnappy(packed []byte, bytesMax int) error {
	total, first := 0, true
	for blocks := packed; first || len(blocks) > 0; first = false {
		block := blocks
		if len(packed) >= snappyBegin && string(packed[:len(snappyMark)]) == snappyMark {
			if first {
				blocks = blocks[snappyBegin:]
			}
			if len(blocks) < sizeBytes {
				return nil // the library finds the end
			}
			n := int(binary.BigEndian.Uint32(blocks))
			if n > len(blocks)-sizeBytes {
				return errLength
			}
			block, blocks = blocks[sizeBytes:sizeBytes+n], blocks[sizeBytes+n:]
		} else {
			blocks = nil
		}
		n, err := snappy.DecodedLen(block)
		if err != nil {
			return inWords(err)
		}
		if total += n; total > bytesMax {
			return errTooLarge
		}
	}
	return nil
}
