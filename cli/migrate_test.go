package cli

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/twmb/franz-go/pkg/kfake"

	"sluice/cli/command"
	"sluice/core/outbox"
	"sluice/core/schema"
	"sluice/persister"
)

// TestMigrateOneOwner migrates the tables of an owner, and refuses one that owns nothing.
func TestMigrateOneOwner(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate", "--owner=persister").want(command.ExitDone, fmt.Sprintf("schema version %d of persister\n", persister.Schema().Version()))
	d.run("migrate", "--owner=nobody").want(command.ExitUsage, `owner "nobody"`, "want persister")
}

// TestMissingGrantIsNoMissingMigration uses an operator's account that lacks one right, as after an upgrade without new
// grants.
func TestMissingGrantIsNoMissingMigration(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	const again = "give the accounts again what sluice grants prints"
	d.run("migrate").want(command.ExitDone, "new in MySQL: ", "dead_letters, ", again)
	d.run("migrate").want(command.ExitDone).lacks("sluice grants")

	c, err := mysql.ParseDSN(string(d.mysql.DSN))
	if err != nil {
		t.Fatal(err)
	}
	root, err := d.mysql.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	c.User = fmt.Sprintf("operator%d", rand.Uint32())
	exec := func(statement string) {
		t.Helper()
		if _, err := root.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	exec("CREATE USER '" + c.User + "'@'%'")
	statements, err := command.Schemas().Statements(schema.RoleOperator, c.DBName, c.User, "%")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		exec(s)
	}
	if err := os.WriteFile(d.flags["--mysql-dsn-file"], []byte(c.FormatDSN()), 0o600); err != nil {
		t.Fatal(err)
	}
	for table, use := range map[string]func() result{
		persister.Schema().Table: func() result { return d.run("deadletter", "list") },
		"ledger_identity":        func() result { return d.runWith("sku_id,quantity\n1,1\n", "stock", "load", "--yes") },
	} {
		exec("REVOKE SELECT ON `" + c.DBName + "`." + table + " FROM '" + c.User + "'@'%'")
		use().want(command.ExitFailed, "may not read table "+table, again, "sluice grants --role operator")
		exec("GRANT SELECT ON `" + c.DBName + "`." + table + " TO '" + c.User + "'@'%'")
		use().want(command.ExitDone)
	}
	for table, about := range map[string]string{persister.Schema().Table: "MySQL schema", "dead_letters": "dead letters"} {
		exec("REVOKE SELECT ON `" + c.DBName + "`." + table + " FROM '" + c.User + "'@'%'")
		d.run("doctor").want(command.ExitFailed, "fail "+about+": ", table, "sluice grants --role operator").lacks("-> run sluice migrate")
		exec("GRANT SELECT ON `" + c.DBName + "`." + table + " TO '" + c.User + "'@'%'")
	}
}

// TestMigrateWarnsOfTwoCopies: with two copies one must be enough, or the loss of a broker stops all writing. A
// deployment with more brokers gets a warning.
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
