package cli

import (
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"sluice/cli/command"
	"sluice/core/outbox"
	"sluice/core/stock"
)

// What Redis alone knows is never emptied: a partition whose outbox is lost, with events in it that nobody else has.
func TestRestoreRefusesWhatRedisAloneKnows(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	lived(t, d)
	d.comesToRest()
	h, cell := d.hand(), stock.Cell{SKU: 1}
	d.reserve(cell, 7, "nobody else knows")
	p := cell.Partition(8)
	if err := h.do("DEL", keyOf(p, "outbox")).Error(); err != nil {
		t.Fatal(err)
	}
	before := h.inRedis()
	d.run("restore", "--yes").want(command.ExitFailed, fmt.Sprintf("partition %d is not restored: sku 1 is at epoch 1 seq 9 there", p),
		"up to epoch 1 seq 8 only", "1 partitions are not restored")
	if diff := gocmp.Diff(before, h.inRedis()); diff != "" {
		t.Errorf("something was changed:\n%s", diff)
	}
}

// Another deployment's Redis or MySQL is refused by name, and so is another number of partitions, which shows in the ids of
// reservations. After that the right restore goes on.
func TestRestoreRefusesOthers(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	lived(t, d)
	d.comesToRest()
	h := d.hand()
	before := h.inRedis()
	h.wipe(3)
	with := func(flag, value string) result {
		t.Helper()
		old := d.flags[flag]
		d.flags[flag] = value
		defer func() { d.flags[flag] = old }()
		return d.run("restore", "--yes")
	}
	with("--deployment", "other").want(command.ExitFailed, `of deployment "test", not "other"`)
	with("--partitions", "16").want(command.ExitFailed, "of a deployment of 8 partitions, not 16")
	with("--mysql-dsn-file", newDeployment(t).migrated().flags["--mysql-dsn-file"]).want(command.ExitFailed, "its ledger is in the MySQL database with the id")
	h.flush()
	published := d.published()
	with("--partitions", "16").want(command.ExitFailed, "the MySQL database is of a deployment of 8 partitions, not 16", "set --partitions to 8")
	h.sql("UPDATE ledger_identity SET partitions = NULL") // as in a database from before it had the column
	for _, partitions := range []string{"16", "4"} {
		with("--partitions", partitions).want(command.ExitFailed, "another number of partitions")
	}
	with("--deployment", "other").want(command.ExitFailed, `the MySQL database is of deployment "test", not "other"`, "set --deployment")
	if now := d.published(); !slices.Equal(now, published) {
		t.Errorf("a refused restore has published something: %v, and %v before", now, published)
	}
	if n, err := h.client.Do(h.ctx, h.client.B().Dbsize().Build()).AsInt64(); err != nil || n != 0 {
		t.Errorf("a refused restore has written %d keys (%v)", n, err)
	}
	d.run("restore", "--yes").want(command.ExitDone, "restored: 8 of 8")
	restoredAs(t, before, h.inRedis(), 0, 1, 2, 3, 4, 5, 6, 7)
}

// published returns the ends of Kafka's partitions.
func (d *deployment) published() []outbox.Range {
	d.t.Helper()
	topic := outbox.NewTopic(d.persisterConfig().Kafka.Brokers, d.persisterConfig().Kafka.Topic)
	defer topic.Close()
	ranges, err := topic.Ranges(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return ranges
}

func (d *deployment) migrated() *deployment {
	d.run("migrate").want(command.ExitDone)
	return d
}
