package cli

import (
	"context"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/cli/command"
	"sluice/core/event"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/stock"
)

// TestUnknownVersionHasAWayOut puts into Kafka what another program wrote, and what a newer sluice wrote. The first
// holds up nothing. The second may be of any SKU: Redis is not vetted until somebody has decided about it.
func TestUnknownVersionHasAWayOut(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	load := func(sku string) result {
		return d.runWith("sku_id,quantity\n"+sku+",9\n", "stock", "load", "--yes")
	}
	load("1001").want(command.ExitDone)
	defer d.persister()()
	servicetest.Transact(t, d.kafka.Brokers, d.kafka.Topic, 1, kgo.TryCommit, []byte("\x02 of another program"))
	letterOf := func(reason string) (id string) {
		t.Helper()
		d.await(func() bool {
			list := into[struct {
				Data []struct {
					ID string `json:"letter_id"`
				}
			}](d.run("deadletter", "list", "--reason", reason, "-o", "json").want(command.ExitDone))
			if len(list.Data) == 1 {
				id = list.Data[0].ID
			}
			return id != ""
		})
		return id
	}
	letterOf("malformed")
	load("1002").want(command.ExitDone)
	d.run("doctor").want(command.ExitDone, "warn dead letters: 1 events", "sluice deadletter list", "ok   Redis vetting: Redis is open")

	pub, err := outbox.NewPublisher(outbox.PublisherConfig{Brokers: d.kafka.Brokers, Topic: d.kafka.Topic, Partitions: d.kafka.Partitions}, metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	pub.Publish(stock.Entry{ID: "1-1", Data: append([]byte{event.Version + 1}, " of a newer sluice"...)})
	if err := pub.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	id := letterOf("unknown_version")
	load("1003").want(command.ExitFailed, "sluice deadletter list --reason unknown_version", "sluice deadletter replay", "sluice deadletter resolve")
	d.run("doctor").want(command.ExitFailed, "fail dead letters: 1 are of a version", "what is shut stays shut", "sluice deadletter resolve")
	d.run("deadletter", "show", id).want(command.ExitDone, "stays shut until")
	d.run("deadletter", "resolve", id, "--reason", "no program of ours", "--yes").want(command.ExitDone)
	load("1003").want(command.ExitDone)
	d.run("doctor").want(command.ExitDone, "warn dead letters: 1 events").lacks("of a version")
}

// A repair waits for a persister to apply a letter, and events that were published again. Without one the steps stay pending, and
// the next run goes on with them.
func TestRepairWithoutAPersister(t *testing.T) {
	t.Parallel()
	h := newHands(t, 2)
	h.refusedEvent(1, 6)
	h.sql("DELETE FROM ledger WHERE sku_id = 2 AND seq = 5")
	h.stop()
	m := h.mend(command.ExitFailed, "--wait", "1s")
	if len(m.Results) != 2 {
		t.Errorf("%+v", m.Results)
	}
	for _, s := range m.Results {
		want := map[string]string{"replay_letter": "no persister has applied the letter yet", "apply_events": "no persister has applied all of them yet"}[s.Repair]
		if s.Outcome != "pending" || want == "" || !strings.Contains(s.Said, want) {
			t.Errorf("%+v", s)
		}
	}
	h.sql("UPDATE repairs SET claimed_at = NOW(3) - INTERVAL 1 MINUTE")
	defer h.persister()()
	h.mend(command.ExitDone)
	h.settled()
}
