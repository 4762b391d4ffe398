package repair

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"sluice/core/event"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/reconcile"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

func emptyStore(t *testing.T) *redisstock.Store {
	t.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{servicetest.Redis(t).Addr}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	store, err := redisstock.New(client, redisstock.Config{Partitions: 8})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// A search for events reads so many messages and no more. It then says that it has not read all of them, and nothing is put
// right.
func TestSearchForEventsEnds(t *testing.T) {
	t.Parallel()
	store := emptyStore(t)
	wanted := reconcile.EventsAgain{Spans: []reconcile.SeqSpan{{Epoch: 1, First: 5, Last: 6}}, SinceMS: 1_700_000_000_000}
	read := 0
	d := Desk{Store: store, Kept: func(_ context.Context, _ int, sinceMS int64, yield func(*outbox.Message, *event.Batch) error) error {
		if sinceMS != wanted.SinceMS {
			t.Errorf("it asks for what was written since %d", sinceMS)
		}
		for other := (event.Batch{Events: []event.Event{{}}}); ; read++ { // Kafka has more than anybody can read
			if err := yield(&outbox.Message{}, &other); err != nil {
				return err
			}
		}
	}}
	step := reconcile.RepairStep{SKU: 1}
	said, err := d.events(t.Context(), &step, &wanted)
	var refused refusal
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "none of them are among the 1000000 messages that Kafka has since 2023-11-14T22:13:20") {
		t.Errorf("%q, %v", said, err)
	}
	if read != searchedMax {
		t.Errorf("it has read %d messages", read)
	}
}

// A step publishes messages before they fill the memory.
func TestEventsArePublishedByBytes(t *testing.T) {
	t.Parallel()
	store := emptyStore(t)
	const messages, each = 40, 1 << 20
	all, most := 0, 0
	enough := errors.New("enough")
	d := Desk{Store: store, Publish: func(_ context.Context, entries []stock.Entry) error {
		most = max(most, len(entries))
		if all += len(entries); all == messages {
			return enough // rather than wait for persisters
		}
		return nil
	}}
	d.Kept = func(_ context.Context, _ int, _ int64, yield func(*outbox.Message, *event.Batch) error) error {
		for seq := range uint64(messages) {
			b := event.Batch{Events: []event.Event{{Cell: stock.Cell{SKU: 1}, Position: stock.Position{Epoch: 1, Seq: seq + 1}}}}
			if err := yield(&outbox.Message{Value: make([]byte, each)}, &b); err != nil {
				return err
			}
		}
		return nil
	}
	step := reconcile.RepairStep{SKU: 1}
	_, err := d.events(t.Context(), &step, &reconcile.EventsAgain{Spans: []reconcile.SeqSpan{{Epoch: 1, First: 1, Last: messages}}})
	if !errors.Is(err, enough) || all != messages || most > publishBytes/each {
		t.Errorf("%d messages, at most %d at once: %v", all, most, err)
	}
}
