package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/leavegroup"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/syncgroup"
)

const topic = "events"

// hostile starts a broker that leads one partition with a message, and says of each answer what alter makes of it. It returns its
// address.
func hostile(t *testing.T, alter func(protocol.ApiKey, []byte) []byte) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	addr := listener.Addr().(*net.TCPAddr)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for {
					version, number, _, request, err := protocol.ReadRequest(conn)
					if err != nil {
						return
					}
					var answer bytes.Buffer
					if err := protocol.WriteResponse(&answer, version, number, honest(request.ApiKey(), addr.Port)); err != nil {
						t.Errorf("answer %s: %v", request.ApiKey(), err)
						return
					}
					if _, err := conn.Write(alter(request.ApiKey(), answer.Bytes())); err != nil {
						return
					}
				}
			}()
		}
	}()
	return addr.String()
}

// honest answers as a broker does.
func honest(asked protocol.ApiKey, port int) protocol.Message {
	switch asked {
	case protocol.ApiVersions:
		answer := &apiversions.Response{}
		for key := range answers {
			answer.ApiKeys = append(answer.ApiKeys, apiversions.ApiKeyResponse{ApiKey: int16(key), MinVersion: key.MinVersion(), MaxVersion: key.MaxVersion()})
		}
		return answer
	case protocol.Metadata:
		return &metadata.Response{
			Brokers: []metadata.ResponseBroker{{NodeID: 1, Host: "127.0.0.1", Port: int32(port)}}, ControllerID: 1,
			Topics: []metadata.ResponseTopic{{Name: topic, Partitions: []metadata.ResponsePartition{{LeaderID: 1, ReplicaNodes: []int32{1}, IsrNodes: []int32{1}}}}},
		}
	case protocol.Fetch:
		return &fetch.Response{Topics: []fetch.ResponseTopic{{Topic: topic, Partitions: []fetch.ResponsePartition{{HighWatermark: 1, RecordSet: messages(0)}}}}}
	case protocol.Produce:
		return &produce.Response{Topics: []produce.ResponseTopic{{Topic: topic, Partitions: []produce.ResponsePartition{{}}}}}
	case protocol.ListOffsets:
		return &listoffsets.Response{Topics: []listoffsets.ResponseTopic{{Topic: topic, Partitions: []listoffsets.ResponsePartition{{}}}}}
	case protocol.CreateTopics:
		return &createtopics.Response{Topics: []createtopics.ResponseTopic{{Name: topic, Configs: []createtopics.ResponseTopicConfig{{Name: "a", Value: "b"}}}}}
	case protocol.DescribeConfigs:
		return &describeconfigs.Response{Resources: []describeconfigs.ResponseResource{{ResourceName: topic}}}
	case protocol.FindCoordinator:
		return &findcoordinator.Response{NodeID: 1, Host: "127.0.0.1", Port: int32(port)}
	case protocol.JoinGroup:
		return &joingroup.Response{GenerationID: 1, ProtocolName: "range", LeaderID: "other", MemberID: "me"}
	case protocol.SyncGroup:
		return &syncgroup.Response{Assignments: assigned(1)}
	case protocol.OffsetFetch:
		return &offsetfetch.Response{Topics: []offsetfetch.ResponseTopic{{Name: topic, Partitions: []offsetfetch.ResponsePartition{{CommittedOffset: -1}}}}}
	case protocol.OffsetCommit:
		return &offsetcommit.Response{Topics: []offsetcommit.ResponseTopic{{Name: topic, Partitions: []offsetcommit.ResponsePartition{{}}}}}
	case protocol.Heartbeat:
		return &heartbeat.Response{}
	case protocol.LeaveGroup:
		return &leavegroup.Response{}
	}
	return nil
}

// assigned gives partition 0 of the topic to a member, and says that there are so many topics.
func assigned(topics int32) []byte {
	out := binary.BigEndian.AppendUint32([]byte{0, 1}, uint32(topics))
	out = append(binary.BigEndian.AppendUint16(out, uint16(len(topic))), topic...)
	out = binary.BigEndian.AppendUint32(out, 1)
	return append(out, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)
}

func messages(how kafka.Compression) protocol.RecordSet {
	return protocol.RecordSet{Version: 2, Attributes: protocol.Attributes(how), Records: protocol.NewRecordReader(kafka.Record{
		Key: kafka.NewBytes([]byte("key")), Value: kafka.NewBytes([]byte("value")), Headers: []kafka.Header{{Key: "entry", Value: []byte("1-1")}},
	})}
}

// batchOf returns the batch at the end of an answer to a fetch.
func batchOf(t testing.TB, answer []byte) []byte {
	t.Helper()
	var set bytes.Buffer
	records := messages(0)
	n, err := records.WriteTo(&set)
	if err != nil {
		t.Fatal(err)
	}
	return answer[len(answer)-int(n)+sizeBytes:]
}

// withSum corrects the checksum of a batch.
func withSum(batch []byte) {
	binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)))
}

// put writes a number into a copy of an answer.
func put(answer []byte, at int, n uint32) []byte {
	answer = bytes.Clone(answer)
	binary.BigEndian.PutUint32(answer[at:], n)
	return answer
}

// replaced has another body after the number of an answer.
func replaced(answer, body []byte) []byte {
	return put(append(answer[:8:8], body...), 0, uint32(4+len(body)))
}

// use asks a broker for everything that the library's client is asked for.
func use(ctx context.Context, client *kafka.Client) error {
	if _, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}}); err != nil {
		return err
	}
	if _, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.LastOffsetOf(0)}}}); err != nil {
		return err
	}
	if _, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: "g", Topics: map[string][]int{topic: {0}}}); err != nil {
		return err
	}
	if _, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}}); err != nil {
		return err
	}
	if _, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}}}); err != nil {
		return err
	}
	_, err := client.Produce(ctx, &kafka.ProduceRequest{Topic: topic, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("v"))})})
	if err != nil {
		return err
	}
	answer, err := client.Fetch(ctx, &kafka.FetchRequest{Topic: topic, MaxBytes: 1 << 20})
	for err == nil {
		var record *kafka.Record
		if record, err = answer.Records.ReadRecord(); err == nil {
			_, err = kafka.ReadAll(record.Value)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// TestHostileBroker lets a broker answer what no Kafka should. The process lives on, the call fails and says why, and the next
// one works.
func TestHostileBroker(t *testing.T) {
	t.Parallel()
	inBatch := func(change func(batch []byte)) func([]byte) []byte {
		return func(answer []byte) []byte {
			answer = bytes.Clone(answer)
			batch := batchOf(t, answer)
			change(batch)
			withSum(batch)
			return answer
		}
	}
	number := func(at int, n uint32) func([]byte) {
		return func(batch []byte) { binary.BigEndian.PutUint32(batch[at:], n) }
	}
	compressed := func(how byte, text string) func([]byte) []byte {
		return func(answer []byte) []byte {
			batch := batchOf(t, answer)
			begin := len(answer) - len(batch)
			batch = append(bytes.Clone(batch[:61]), text...)
			batch[22] = how
			binary.BigEndian.PutUint32(batch[8:], uint32(len(batch)-12))
			withSum(batch)
			set := binary.BigEndian.AppendUint32(bytes.Clone(answer[8:begin-4]), uint32(len(batch)))
			return replaced(answer, append(set, batch...))
		}
	}
	const (
		huge     = 0x7fffffff
		negative = 0xfffffff0
	)
	for name, c := range map[string]struct {
		key   protocol.ApiKey
		alter func([]byte) []byte
		want  string
	}{
		"another protocol":            {protocol.ApiVersions, func([]byte) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }, `begins with "HTTP"`},
		"a negative answer":           {protocol.Metadata, func(a []byte) []byte { return put(a, 0, negative) }, "the size of an answer is wrong"},
		"an endless answer":           {protocol.Fetch, func(a []byte) []byte { return put(a, 0, huge) }, "the size of an answer is wrong"},
		"an answer without a number":  {protocol.Fetch, func([]byte) []byte { return make([]byte, 4) }, "the size of an answer is wrong"},
		"half an answer":              {protocol.Metadata, func(a []byte) []byte { return put(a[:12:12], 0, 8) }, "a length is wrong"},
		"the answer to another":       {protocol.Fetch, func(a []byte) []byte { return put(a, 4, 1<<20) }, "no request asked for"},
		"an answer too many":          {protocol.Metadata, func(a []byte) []byte { return append(bytes.Clone(a), a...) }, "no request asked for"},
		"endless versions":            {protocol.ApiVersions, func(a []byte) []byte { return put(a, 10, huge) }, "a length is wrong"},
		"endless brokers":             {protocol.Metadata, func(a []byte) []byte { return put(a, 12, huge) }, "a length is wrong"},
		"endless topics":              {protocol.Produce, func(a []byte) []byte { return put(a, 8, huge) }, "a length is wrong"},
		"endless offsets":             {protocol.ListOffsets, func(a []byte) []byte { return put(a, 12, huge) }, "a length is wrong"},
		"a long text":                 {protocol.FindCoordinator, func(a []byte) []byte { return put(a, 20, huge) }, "a length is wrong"},
		"endless tags":                {protocol.CreateTopics, func(a []byte) []byte { return replaced(a, bytes.Repeat([]byte{0xff}, 9)) }, "a length is wrong"},
		"a long tag":                  {protocol.CreateTopics, func(a []byte) []byte { return replaced(a, []byte("\x01\x00\xff\xff\xff\xff\xff\xff\xff\x7f")) }, "a length is wrong"},
		"an endless short array":      {protocol.CreateTopics, func(a []byte) []byte { return replaced(a, []byte("\x00\x00\x00\x00\x00\xff\xff\xff\xff\x7f")) }, "a length is wrong"},
		"a negative number":           {protocol.Fetch, inBatch(number(57, 0xffffffff)), "the number of messages is wrong"},
		"endless messages":            {protocol.Fetch, inBatch(number(57, huge)), "the number of messages is wrong"},
		"too many messages":           {protocol.Fetch, inBatch(number(57, 2)), "a length is wrong"},
		"a negative batch":            {protocol.Fetch, inBatch(number(8, negative)), "a length is wrong"},
		"an old negative batch":       {protocol.Fetch, inBatch(func(b []byte) { number(8, negative)(b); b[16] = 1 }), "before version 0.11"},
		"endless headers":             {protocol.Fetch, inBatch(func(b []byte) { copy(b[61+14:], "\xfe\xff\xff\xff\x0f") }), "a length is wrong"},
		"a long header":               {protocol.Fetch, inBatch(func(b []byte) { copy(b[61+15:], "\xfe\xff\xff\xff\x0f") }), "a length is wrong"},
		"a batch beyond its answer":   {protocol.Fetch, func(a []byte) []byte { return put(a, len(a)-len(batchOf(t, a))-4, huge) }, "a length is wrong"},
		"a snappy text of 4 GB":       {protocol.Fetch, compressed(2, "\xff\xff\xff\xff\x0f\x00\x00"), "takes more than"},
		"a snappy block of 4 GB":      {protocol.Fetch, compressed(2, "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\xff\xff\xff\xffx"), "a length is wrong"},
		"a window of 64 GB":           {protocol.Fetch, compressed(4, "\x28\xb5\x2f\xfd\x00\xd0\x01\x00\x00"), "window size exceeded"},
		"a text of zeros":             {protocol.Fetch, compressed(1, zeros(t, 200<<20)), "takes more than"},
		"nothing that was compressed": {protocol.Fetch, compressed(3, "nothing"), "cannot be decompressed"},
		"an unknown compression":      {protocol.Fetch, compressed(7, "nothing"), "an unknown way"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var good atomic.Bool
			addr := hostile(t, func(key protocol.ApiKey, answer []byte) []byte {
				if key != c.key || good.Load() {
					return answer
				}
				return c.alter(answer)
			})
			transport := &kafka.Transport{Dial: Dial, MetadataTTL: 100 * time.Millisecond, MetadataTopics: []string{topic}}
			t.Cleanup(transport.CloseIdleConnections)
			client := &kafka.Client{Addr: kafka.TCP(addr), Timeout: 10 * time.Second, Transport: transport}
			told := func(want string) func() bool {
				return func() bool {
					err := use(t.Context(), client)
					if err == nil {
						return want == ""
					}
					return want != "" && strings.Contains(err.Error(), want)
				}
			}
			if c.want == "no request asked for" {
				for range 10 { // the library may not read on
					_ = use(t.Context(), client)
				}
			} else {
				eventually(t, told(c.want), c.want)
			}
			good.Store(true)
			transport.CloseIdleConnections()
			eventually(t, told(""), "an answer")
		})
	}
}

func eventually(t *testing.T, ok func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s in time", what)
		}
	}
}

// TestCompressed reads what a broker has compressed.
func TestCompressed(t *testing.T) {
	t.Parallel()
	for _, how := range []kafka.Compression{kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		set := messages(how)
		var out bytes.Buffer
		if _, err := set.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		b := body{left: out.Bytes()}
		if recordSet(&b); b.fault != nil || len(b.left) > 0 {
			t.Errorf("%v: %v, %d bytes left", how, b.fault, len(b.left))
		}
	}
}

// TestHostileGroup lets a coordinator give a member more than there can be.
func TestHostileGroup(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		assigned []byte
		want     string
	}{
		"endless topics":      {assigned(0x7fffffff), "a length is wrong"},
		"too many topics":     {assigned(2), "a length is wrong"},
		"too many partitions": {append(assigned(1)[:6], "\x00\x00\x00\x00\x27\x11"...), "too many partitions"},
		"nothing":             {nil, ""},
		"a partition":         {assigned(1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := hostile(t, func(key protocol.ApiKey, answer []byte) []byte {
				if key == protocol.SyncGroup {
					return replaced(answer, append(binary.BigEndian.AppendUint32([]byte{0, 0}, uint32(len(c.assigned))), c.assigned...))
				}
				return answer
			})
			group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
				ID: "g", Brokers: []string{addr}, Topics: []string{topic}, Dialer: &kafka.Dialer{DialFunc: Dial}, JoinGroupBackoff: time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = group.Close() }()
			_, err = group.Next(t.Context())
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// zeros is gzip's text of so many zeros.
func zeros(t *testing.T, n int64) string {
	t.Helper()
	var out bytes.Buffer
	packer := kafka.Gzip.Codec().NewWriter(&out)
	if _, err := io.CopyN(packer, zero{}, n); err != nil {
		t.Fatal(err)
	}
	if err := packer.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }
