package kafka

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// stored is a connection to a broker whose answers are stored. It gives up to size bytes at once.
type stored struct {
	net.Conn
	left []byte
	size int
}

func (s *stored) Read(chunk []byte) (int, error) {
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	n := copy(chunk[:min(len(chunk), s.size)], s.left)
	s.left = s.left[n:]
	return n, nil
}

func (*stored) Write(chunk []byte) (int, error) { return len(chunk), nil }
func (*stored) RemoteAddr() net.Addr            { return &net.TCPAddr{} }

// FuzzGuarded puts the same answer through the guard whole, and in parts: no bytes make it panic, and where parts end makes no
// difference. What passes does the library no harm.
func FuzzGuarded(f *testing.F) {
	keys := slices.Sorted(maps.Keys(answers))
	const number = 7
	for i, key := range keys {
		for version := key.MinVersion(); version <= key.MaxVersion(); version++ {
			f.Add(byte(i), byte(version-key.MinVersion()), honestBody(f, key, version, number))
		}
	}
	for _, how := range []kafka.Compression{kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		answer := &fetch.Response{Topics: []fetch.ResponseTopic{{Partitions: []fetch.ResponsePartition{{RecordSet: messages(how)}}}}}
		var out bytes.Buffer
		if err := protocol.WriteResponse(&out, 11, number, answer); err != nil {
			f.Fatal(err)
		}
		f.Add(byte(slices.Index(keys, protocol.Fetch)), byte(11), out.Bytes()[8:])
	}
	f.Fuzz(func(t *testing.T, which, later byte, rest []byte) {
		key := keys[int(which)%len(keys)]
		asked := kind{key, key.MinVersion() + int16(later)%(key.MaxVersion()-key.MinVersion()+1)}
		answer := binary.BigEndian.AppendUint32(nil, uint32(4+len(rest)))
		answer = append(binary.BigEndian.AppendUint32(answer, number), rest...)
		hear := func(size int) ([]byte, error) {
			g := newGuarded(&stored{left: answer, size: size})
			request := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(nil, 8), uint16(asked.key))
			request = binary.BigEndian.AppendUint16(request, uint16(asked.version))
			for part := range slices.Chunk(binary.BigEndian.AppendUint32(request, number), size) {
				if _, err := g.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			return io.ReadAll(g)
		}
		whole, err := hear(1 << 20)
		for _, size := range []int{1, 3} {
			if got, said := hear(size); (said == nil) != (err == nil) || !bytes.Equal(got, whole) {
				t.Errorf("in chunks of %d: %d bytes, %v; whole: %d bytes, %v", size, len(got), said, len(whole), err)
			}
		}
		if err != nil {
			return
		}
		_, read, err := protocol.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), key, asked.version)
		if err != nil {
			return
		}
		if r, ok := read.(*fetch.Response); ok {
			readAll(r)
		}
	})
}

// readAll reads all messages of an answer.
func readAll(answer *fetch.Response) {
	for _, topic := range answer.Topics {
		for _, p := range topic.Partitions {
			for p.RecordSet.Records != nil {
				record, err := p.RecordSet.Records.ReadRecord()
				if err != nil {
					break
				}
				_, _ = kafka.ReadAll(record.Key)
				_, _ = kafka.ReadAll(record.Value)
			}
		}
	}
}

// honestBody is the answer of a broker after its size and its number.
func honestBody(t testing.TB, key protocol.ApiKey, version int16, number int32) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := protocol.WriteResponse(&out, version, number, honest(key, 9092)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()[8:]
}
