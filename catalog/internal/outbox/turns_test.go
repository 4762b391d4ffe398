package outbox

import (
	"context"
	"net"
	"testing"
	"time"

	"sluice/core/local/servicetest"
)

// A process that Kafka does not answer leaves the events to another one: it is off their lock until the other has looked twice.
func TestAProcessWithoutKafka(t *testing.T) {
	t.Parallel()
	w := newWorld(t, servicetest.Broker(t))
	w.create(w.topic)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close() // nobody is there
	alone := NewKafka([]string{listener.Addr().String()})
	defer alone.Close()
	if _, err := change(t.Context(), w.Place, w.topic, "ord_1", nil); err != nil {
		t.Fatal(err)
	}
	relay := newRelay(w.Place, alone, w.topic)
	failed := relay.databases[0].boxes[0].failed
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { relay.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	await := func(times uint64) time.Time {
		t.Helper()
		for end := time.Now().Add(time.Minute); failed.Get() < times; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("it has not failed %d times", times)
			}
		}
		return time.Now()
	}
	first := await(1)
	if off := await(2).Sub(first); off < 2*standEvery {
		t.Errorf("it tries again after %v", off)
	}
	w.start(w.topic)
	w.read(w.topic, map[string]uint64{"ord_1": 1})
}

// Each box begins a round in its turn.
func TestBoxesTakeTurns(t *testing.T) {
	t.Parallel()
	d := &database{boxes: []*box{{owner: "a"}, {owner: "b"}, {owner: "c"}}}
	got := ""
	for range 4 {
		for _, b := range d.turn() {
			got += b.owner
		}
		got += " "
	}
	if got != "abc bca cab abc " {
		t.Errorf("the turns are %s", got)
	}
}

// A process that is stopped was refused by no partition.
func TestStoppedIsNotRefused(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	k := NewKafka([]string{listener.Addr().String()})
	defer k.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if taken, err := k.publish(ctx, "t", []int{0}, []row{{id: 1, Event: Event{ID: 1, Type: "made", Aggregate: "a", Data: []byte("{}")}}}); err == nil || len(taken) != 0 || len(k.refusals) != 0 {
		t.Errorf("%v was taken, %v, and the refusals are %v", taken, err, k.refusals)
	}
}
