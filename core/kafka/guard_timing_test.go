package kafka

import (
	"bytes"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// BenchmarkGuard passes an answer with messages through a guarded connection: what a fetch costs more by it.
func BenchmarkGuard(b *testing.B) {
	for name, how := range map[string]kafka.Compression{"plain": 0, "lz4": kafka.Lz4, "zstd": kafka.Zstd} {
		b.Run(name, func(b *testing.B) {
			records := make([]kafka.Record, 1000)
			for i := range records {
				records[i] = kafka.Record{
					Key: kafka.NewBytes([]byte("17")), Value: kafka.NewBytes(bytes.Repeat([]byte("event "), 40)),
					Headers: []kafka.Header{{Key: "entry", Value: []byte("1764298800000-0")}},
				}
			}
			set := protocol.RecordSet{Version: 2, Attributes: protocol.Attributes(how), Records: protocol.NewRecordReader(records...)}
			var answer bytes.Buffer
			err := protocol.WriteResponse(&answer, 11, 7, &fetch.Response{Topics: []fetch.ResponseTopic{{Partitions: []fetch.ResponsePartition{{RecordSet: set}}}}})
			if err != nil {
				b.Fatal(err)
			}
			asked := []byte{0, 0, 0, 8, 0, byte(protocol.Fetch), 0, 11, 0, 0, 0, 7}
			in := &stored{size: 1 << 20}
			g := newGuarded(in)
			chunk := make([]byte, 1<<20)
			b.SetBytes(int64(answer.Len()))
			b.ReportAllocs()
			for b.Loop() {
				in.left = answer.Bytes()
				if _, err := g.Write(asked); err != nil {
					b.Fatal(err)
				}
				if _, err := g.Read(chunk); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
