package kafka

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

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

// answers are all that sluice asks Kafka for. The tags of their fields say which versions have them, so a shape follows from the
// type that the library reads an answer into.
var answers = map[protocol.ApiKey]reflect.Type{
	protocol.ApiVersions:     reflect.TypeFor[apiversions.Response](),
	protocol.CreateTopics:    reflect.TypeFor[createtopics.Response](),
	protocol.DescribeConfigs: reflect.TypeFor[describeconfigs.Response](),
	protocol.Fetch:           reflect.TypeFor[fetch.Response](),
	protocol.FindCoordinator: reflect.TypeFor[findcoordinator.Response](),
	protocol.Heartbeat:       reflect.TypeFor[heartbeat.Response](),
	protocol.JoinGroup:       reflect.TypeFor[joingroup.Response](),
	protocol.LeaveGroup:      reflect.TypeFor[leavegroup.Response](),
	protocol.ListOffsets:     reflect.TypeFor[listoffsets.Response](),
	protocol.Metadata:        reflect.TypeFor[metadata.Response](),
	protocol.OffsetCommit:    reflect.TypeFor[offsetcommit.Response](),
	protocol.OffsetFetch:     reflect.TypeFor[offsetfetch.Response](),
	protocol.Produce:         reflect.TypeFor[produce.Response](),
	protocol.SyncGroup:       reflect.TypeFor[syncgroup.Response](),
}

// shape reads a part of an answer, and finds what the library would not bear.
type shape func(*body)

var shapes sync.Map // of shapes by kind

// shapeOf returns the shape of an answer after its number.
func shapeOf(k kind) (shape, error) {
	if known, ok := shapes.Load(k); ok {
		return known.(shape), nil
	}
	t, ok := answers[k.key]
	if !ok || k.version < k.key.MinVersion() || k.version > k.key.MaxVersion() {
		return nil, fmt.Errorf("nothing is known about answers to %s in version %d", k.key, k.version)
	}
	f := form{version: k.version, flexible: flexible(t, k.version)}
	made := f.structure(t)
	if f.flexible {
		rest := made
		made = func(b *body) { tagged(b); rest(b) }
	}
	shapes.Store(k, made)
	return made, nil
}

// flexible reports whether a version of an answer has short lengths, and parts that a reader may skip. Fields with the tag "tag"
// say so.
func flexible(t reflect.Type, version int16) bool {
	for i := range t.NumField() {
		for option := range strings.SplitSeq(t.Field(i).Tag.Get("kafka"), "|") {
			if first, _ := versionsOf(option); strings.Contains(option, ",tag") && version >= first {
				return true
			}
		}
	}
	return false
}

// versionsOf reads the versions in a tag like "min=v0,max=v5,nullable". Without versions a field is in none.
func versionsOf(tag string) (first, last int16) {
	first, last = -1, -1
	for option := range strings.SplitSeq(tag, ",") {
		name, value, _ := strings.Cut(option, "=v")
		n, err := strconv.ParseInt(value, 10, 16)
		switch {
		case err != nil:
		case name == "min":
			first = int16(n)
		case name == "max":
			last = int16(n)
		}
	}
	return first, last
}

// form makes the shapes of one version.
type form struct {
	version  int16
	flexible bool
}

func (f form) of(t reflect.Type) shape {
	switch {
	case t == reflect.TypeFor[protocol.RecordSet]():
		return recordSet
	case t.Kind() == reflect.String && !f.flexible:
		return func(b *body) { b.text(b.int16()) }
	case t.Kind() == reflect.String, t == reflect.TypeFor[[]byte]():
		return func(b *body) { b.text(f.length(b)) }
	case t.Kind() == reflect.Slice:
		return f.array(t.Elem())
	case t.Kind() == reflect.Struct:
		return f.structure(t)
	}
	size := int(t.Size()) // of a number or a boolean
	return func(b *body) { b.take(size) }
}

// length reads how long an array or a text is, -1 for null.
func (f form) length(b *body) int {
	if !f.flexible {
		return int(b.int32())
	}
	if n := b.uvarint(); n > 0 {
		return b.within(n - 1)
	}
	return -1
}

func (f form) array(t reflect.Type) shape {
	element, size := f.of(t), int(t.Size())
	return func(b *body) {
		n := f.length(b)
		if n > 0 {
			b.grow(n, size)
		}
		for ; n > 0 && b.fault == nil; n-- {
			element(b)
		}
	}
}

func (f form) structure(t reflect.Type) shape {
	var fields []shape
	for i := range t.NumField() {
		field := t.Field(i)
		for option := range strings.SplitSeq(field.Tag.Get("kafka"), "|") {
			first, last := versionsOf(option)
			if first > f.version || last < f.version {
				continue
			}
			if !strings.Contains(option, ",tag") {
				fields = append(fields, f.field(t, field))
			}
			break
		}
	}
	if f.flexible {
		fields = append(fields, tagged)
	}
	return func(b *body) {
		for _, read := range fields {
			read(b)
		}
	}
}

func (f form) field(t reflect.Type, field reflect.StructField) shape {
	if t == reflect.TypeFor[syncgroup.Response]() && field.Name == "Assignments" {
		return func(b *body) { b.fail(assignments(b.text(f.length(b)))) }
	}
	return f.of(field.Type)
}

// tagged skips parts that a reader need not know.
func tagged(b *body) {
	for n := b.within(b.uvarint()); n > 0 && b.fault == nil; n-- {
		b.uvarint() // which part
		b.take(b.within(b.uvarint()))
	}
}

// assignedMax bounds the partitions that one member of a group reads: it has a goroutine for each.
const assignedMax = 10_000

var errAssigned = errors.New("a group gives its member too many partitions")

// assignments looks at the partitions that a group gives a member. The leader of the group wrote them.
func assignments(written []byte) error {
	if len(written) == 0 {
		return nil
	}
	b := body{left: written}
	b.int16()
	topics := int(b.int32())
	if topics > 0 {
		b.grow(topics, sizeBytes)
	}
	for total := 0; topics > 0 && b.fault == nil; topics-- {
		b.text(b.int16())
		n := int(b.int32())
		if total += max(0, n); total > assignedMax {
			return errAssigned
		}
		b.text(sizeBytes * n)
	}
	return b.fault
}
