package cli

import (
	"os"
	"strings"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/config"
	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// Doctor reports faults of Redis even if Redis cannot be vetted because another server is down.
func TestDoctorJudgesRedisByItself(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.flags["--kafka-brokers"] = "127.0.0.1:1"
	client, err := d.redis.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	settings := client.B().ConfigSet().ParameterValue().
		ParameterValue("appendonly", "no").ParameterValue("maxmemory-policy", "allkeys-lru").Build()
	follow := client.B().Replicaof().Host("127.0.0.1").Port(1).Build()
	for _, answer := range client.DoMulti(t.Context(), settings, follow) {
		if err := answer.Error(); err != nil {
			t.Fatal(err)
		}
	}
	r := d.run("doctor").want(command.ExitFailed, "appendonly no", "maxmemory-policy allkeys-lru", "it is a replica", "Redis vetting: not done")
	if strings.Contains(r.out, "appendfsync") {
		t.Errorf("appendfsync of a file that is not written is judged:\n%s", r.out)
	}
}

// TestDoctorKnowsSentinels has three of them and a replica that would forget, and then kills one Sentinel.
func TestDoctorKnowsSentinels(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	primary := servicetest.Redis(t)
	replica := servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: primary.Addr, Extra: []string{"appendonly no"}})
	sentinels := servicetest.Sentinels(t, primary, 1, time.Minute)
	delete(d.flags, "--redis-addr")
	d.flags["--redis-sentinel-addrs"], d.flags["--redis-sentinel-master"] = strings.Join(sentinels.Addrs, ","), sentinels.Master
	d.run("migrate").want(command.ExitDone)
	r := d.run("doctor").want(command.ExitFailed, "ok   Redis "+primary.Addr,
		"fail Redis replica "+replica.Addr+": appendonly no")
	for _, addr := range sentinels.Addrs {
		r.want(command.ExitFailed, "ok   Sentinel "+addr+": it names "+primary.Addr+": OK 3 usable Sentinels")
	}
	r.lacks("it is a replica")
	for _, node := range sentinels.Nodes[1:] {
		if err := node.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	d.run("doctor").want(command.ExitFailed, "fail Sentinel "+sentinels.Addrs[1]+": connect to "+sentinels.Addrs[1])
	d.flags["--redis-sentinel-master"] = "other"
	d.run("doctor").want(command.ExitFailed, `it watches no "other"`, "fail Redis: connect to redis other of sentinels")
}

// Doctor warns of what works but perhaps not for long, and of a database that loses commits in a crash.
func TestDoctorJudgesMySQL(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	_, dsn := servicetest.PrivateDatabase(t) // its settings are changed
	d.mysql.DSN = config.Secret(dsn)
	if err := os.WriteFile(d.flags["--mysql-dsn-file"], []byte(d.mysql.DSN), 0o600); err != nil {
		t.Fatal(err)
	}
	d.run("migrate").want(command.ExitDone)
	d.run("doctor").want(command.ExitDone, "ok   dead letters: none", "ok   MySQL durability")
	db, err := d.mysql.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{
		"INSERT INTO dead_letters (letter_id, reason, detail, data) VALUES (REPEAT('x', 32), 'test', '', '')",
		"SET GLOBAL innodb_flush_log_at_trx_commit = 2, GLOBAL max_allowed_packet = 65536, GLOBAL read_only = 1",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	d.run("doctor").want(command.ExitFailed, "warn dead letters: 1 events", "fail MySQL durability: innodb_flush_log_at_trx_commit is 2",
		"fail MySQL packet: max_allowed_packet is 65536", "fail MySQL read only: read_only is on", "-> set it off")
}

// TestDoctorOfACluster warns while the loss of one node would stop the others.
func TestDoctorOfACluster(t *testing.T) {
	t.Parallel()
	d := newDeploymentOn(t, servicetest.RedisCluster(t).Addrs...).migrated()
	const warning = "cluster-require-full-coverage yes: when one node is lost"
	if r := d.run("doctor"); !strings.Contains(r.out, warning) {
		t.Errorf("no warning in\n%s", r.out)
	}
	for _, node := range d.hand().client.Nodes() {
		if err := node.Do(t.Context(), node.B().ConfigSet().ParameterValue().ParameterValue("cluster-require-full-coverage", "no").Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	if r := d.run("doctor"); strings.Contains(r.out, warning) {
		t.Errorf("a warning without a reason in\n%s", r.out)
	}
}
