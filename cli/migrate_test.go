package cli

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"sluice/cli/command"
	"sluice/core/outbox"
	"sluice/persister"
)

// TestMigrateOneOwner migrates the tables of an owner, and refuses one that owns nothing.
func TestMigrateOneOwner(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate", "--owner=persister").want(command.ExitDone, fmt.Sprintf("schema version %d of persister\n", persister.Schema().Version()))
	d.run("migrate", "--owner=nobody").want(command.ExitUsage, `owner "nobody"`, "want persister")
}

// TestMigrateWarnsOfTwoCopies: with two copies one must be enough, or the loss of a broker stops all writing; whoever
// has more brokers is told.
func TestMigrateWarnsOfTwoCopies(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	brokers, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(brokers.Close)
	d.flags["--kafka-brokers"] = brokers.ListenAddrs()[0]
	const warning = "of 2 copies one is enough"
	for copies, inSync := range map[int]int{1: 1, 2: 1, 3: 2} {
		name := "events" + strconv.Itoa(copies)
		d.flags["--kafka-topic"], d.flags["--kafka-replication"] = name, strconv.Itoa(copies)
		for range 2 { // the second time the topic is there
			r := d.run("migrate").want(command.ExitDone, "topic "+name+" with 4 partitions")
			if copies == 2 {
				r.want(command.ExitDone, warning, "--kafka-replication 3")
			} else {
				r.lacks(warning)
			}
		}
		topic := outbox.NewTopic(brokers.ListenAddrs(), name)
		at, err := topic.Condition(t.Context(), 4)
		topic.Close()
		if err != nil || at.Copies != copies || at.InSyncMin != inSync {
			t.Errorf("of %d copies: %+v, %v", copies, at, err)
		}
	}
}
