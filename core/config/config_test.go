package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/kafka"
	"sluice/core/redis"
	"sluice/core/stock"
)

// groups are all groups with values that are in order.
func groups() (redis.Config, db.Config, kafka.Config, config.Stock, config.Ops, config.Log) {
	return redis.Config{Addrs: []string{"localhost:6379"}, CallTimeout: time.Second},
		db.Config{DSN: "root:x@tcp(localhost:3306)/sluice", ConnsMax: 8, Timeout: time.Second},
		kafka.Config{Brokers: []string{"localhost:9092"}, Topic: "t", Group: "g", Partitions: 8, Replication: 1},
		config.Stock{Agreed: config.Agreed{Partitions: 64, Deployment: "d", Retention: time.Hour}, OutboxEntriesMax: 1000, Ack: "log"},
		config.Ops{Listen: "127.0.0.1:0"},
		config.Log{Level: "info", Format: "json"}
}

func TestValidateAcceptsWhatIsInOrder(t *testing.T) {
	t.Parallel()
	store, ledger, events, stock, ops, log := groups()
	for _, group := range []interface{ Validate() error }{&store, ledger, events, stock, ops, log} {
		if err := group.Validate(); err != nil {
			t.Errorf("%T: %v", group, err)
		}
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		group interface{ Validate() error }
		want  []string
	}{
		{&redis.Config{}, []string{"redis-addr: missing", "redis-call-timeout: 0s: want 1ms to 10s"}},
		{&redis.Config{Addrs: []string{"localhost"}}, []string{`redis-addr: "localhost": want host:port`}},
		{
			&redis.Config{Addrs: []string{"a:1"}, SentinelAddrs: []string{"b"}, SentinelPasswordFile: "/none"},
			[]string{"redis-addr: a:1: want none beside redis-sentinel-addrs", `redis-sentinel-addrs: "b": want host:port`, "redis-sentinel-password-file: /none: no such file"},
		},
		{redis.Replicas{}, []string{"redis-replica-timeout: 0s: want 1ms to 10s"}},
		{&redis.Config{SentinelAddrs: []string{"b:1"}}, []string{"redis-sentinel-master: missing"}},
		{&redis.Config{SentinelMaster: "m"}, []string{"redis-sentinel-addrs: missing"}},
		{db.Config{}, []string{"mysql-dsn: missing", "SLUICE_MYSQL_DSN", "mysql-conns-max: 0: want 1 to 1000", "mysql-timeout: 0s"}},
		{
			&redis.Config{Addrs: []string{"localhost"}, PasswordFile: "/none", TLSCAFile: "/dev"},
			[]string{`redis-addr: "localhost"`, "redis-password-file: /none: no such file", "redis-tls-ca-file: /dev:"},
		},
		{&redis.Config{TLSCAFile: "config.go"}, []string{"redis-tls-ca-file: config.go has no PEM certificate in it"}},
		{
			db.Config{DSNFile: "/none", TLSCAFile: "config.go"},
			[]string{"mysql-dsn-file: /none: no such file", "mysql-tls-ca-file: config.go has no PEM", "mysql-conns-max"},
		},
		{db.Config{DSNFile: "config.go"}, []string{"mysql-dsn: malformed"}},
		{kafka.Config{Brokers: []string{"a:"}}, []string{`kafka-brokers: "a:"`, `kafka-topic: ""`, "kafka-group", "kafka-partitions: 0", "kafka-replication: 0"}},
		{config.Stock{Agreed: config.Agreed{Deployment: "a b"}, Ack: "never"}, []string{"partitions: 0: want 1 to 4096", `deployment: "a b"`, "retention: 0s", "outbox-entries-max: 0", `ack: "never": want redis, replica, log`}},
		{config.Ops{Listen: "80"}, []string{`ops-listen: "80"`}},
		{config.Log{Level: "loud", Format: "xml"}, []string{`log-level: "loud"`, `log-format: "xml"`}},
	} {
		err := c.group.Validate()
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%T: %v\nlacks %q", c.group, err, want)
			}
		}
	}
}

// Every setting has a flag, its environment variable by the one rule, a group, and in settings.txt a help text and a
// word on what it costs; every secret has an environment variable and no flag.
func TestTagsFollowTheRule(t *testing.T) {
	t.Parallel()
	store, ledger, events, stock, ops, log := groups()
	for _, group := range []interface{ Texts() config.Texts }{store, ledger, events, stock.Agreed, stock, ops, log} {
		texts := group.Texts()
		typ := reflect.TypeOf(group)
		for i := range typ.NumField() {
			field := typ.Field(i)
			at := typ.String() + "." + field.Name
			if field.Anonymous {
				continue
			}
			if field.Type == reflect.TypeFor[config.Secret]() {
				if field.Tag.Get("kong") != "-" || !strings.HasPrefix(field.Tag.Get("env"), "SLUICE_") || field.Tag.Get("help") == "" {
					t.Errorf("%s: tags of a secret: %s", at, field.Tag)
				}
				continue
			}
			flag := field.Tag.Get("name")
			if want := "SLUICE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_")); flag == "" || field.Tag.Get("env") != want {
				t.Errorf("%s: flag %q, env %q, want %q", at, flag, field.Tag.Get("env"), want)
			}
			if field.Tag.Get("group") == "" {
				t.Errorf("%s: no group", at)
			}
			if text := texts[flag]; text.Help == "" || text.Cost == "" {
				t.Errorf("%s: settings.txt says %+v, want a help and a cost", at, text)
			}
		}
	}
}

// The tags of settings repeat constants of package stock, which others take for their defaults.
func TestDefaultsAreConstants(t *testing.T) {
	t.Parallel()
	f := func(group any, field string, want any) {
		t.Helper()
		found, _ := reflect.TypeOf(group).FieldByName(field)
		got := found.Tag.Get("default")
		if d, ok := want.(time.Duration); ok {
			if parsed, err := time.ParseDuration(got); err != nil || parsed != d {
				t.Errorf("%s: default %q, want %v", field, got, d)
			}
		} else if got != fmt.Sprint(want) {
			t.Errorf("%s: default %q, want %v", field, got, want)
		}
	}
	f(config.Agreed{}, "Partitions", stock.PartitionsDefault)
	f(config.Agreed{}, "Retention", stock.RetentionDefault)
	f(config.Stock{}, "OutboxEntriesMax", stock.OutboxEntriesDefault)
	f(redis.Replicas{}, "Timeout", stock.ReplicaTimeoutDefault)
	f(config.Stock{}, "Ack", stock.AckRedis)
	f(redis.Config{}, "CallTimeout", stock.CallTimeoutDefault)
}

func TestSecretIsNeverShown(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	s := db.Config{DSN: secret}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "dsn", s.DSN, "config", s, "pointer", &s)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "dsn", s.DSN, "config", s, "pointer", &s)
	encoded, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(encoded)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		shown += fmt.Sprintf(verb, s.DSN) + fmt.Sprintf(verb, s) + fmt.Sprintf(verb, &s)
	}
	for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret)} {
		if strings.Contains(shown, form) {
			t.Errorf("%s is shown in %s", form, shown)
		}
	}
	if s.DSN.Reveal() != secret {
		t.Errorf("Reveal gives %q", s.DSN.Reveal())
	}
}

// A DSN is never part of an error, however malformed it is and wherever its password ended up.
func TestDSNIsNotInErrors(t *testing.T) {
	t.Parallel()
	const password = "hunter2"
	file := filepath.Join(t.TempDir(), "dsn")
	for _, dsn := range []string{
		"root:hunter2@tcp(127.0.0.1:1)/sluice", // well formed; nobody listens
		"root:hunter2@tcp(127.0.0.1:1)/",
		"root:hunter2@tcp(127.0.0.1:1)",
		"root:hunter2/sluice",
		"root:hunter2@/",
		"root:hunter2@udp(127.0.0.1:1)/sluice",
		"root:hunter2(127.0.0.1:1)/sluice",
		"root:hunter2@tcp(127.0.0.1:1/sluice",
		"root@tcp(127.0.0.1:1)/sluice?parseTime=hunter2",
		"root@tcp(127.0.0.1:1)/sluice?hunter2=%zz",
		"root:hunter2@tcp(127.0.0.1:1)/sluice?tls=skip-verify",
		"root:hunter2@tcp(127.0.0.1:1)/sluice?tls=hunter2",
	} {
		if err := os.WriteFile(file, []byte(dsn+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, m := range []db.Config{
			{DSN: config.Secret(dsn), ConnsMax: 1, Timeout: time.Second},
			{DSNFile: file, ConnsMax: 1, Timeout: time.Second},
		} {
			_, err := m.Open(t.Context())
			if err == nil {
				t.Fatalf("%s: opened", dsn)
			}
			if text := fmt.Sprintf("%v %+v %#v %v", err, err, err, m.Validate()); strings.Contains(text, password) {
				t.Errorf("%s: the error shows the password: %s", dsn, text)
			}
		}
	}
}

func TestLoadSecrets(t *testing.T) {
	t.Parallel()
	type shared struct{ Kafka struct{ Redis redis.Config } }
	type command struct {
		db.Config
		shared
		Nested struct{ Redis redis.Config }
		hidden redis.Config
	}
	env := map[string]string{"SLUICE_MYSQL_DSN": "dsn", "SLUICE_REDIS_PASSWORD": "pw"}
	var c command
	config.LoadSecrets(&c, func(key string) (string, bool) { text, ok := env[key]; return text, ok })
	if c.DSN.Reveal() != "dsn" || c.Nested.Redis.Password.Reveal() != "pw" || c.hidden.Password != "" || c.Kafka.Redis.Password.Reveal() != "pw" {
		t.Errorf("loaded %q and %q", c.DSN.Reveal(), c.Nested.Redis.Password.Reveal())
	}
}

// A file that can be read only once is left to the caller who needs it.
func TestValidateLeavesPipesAlone(t *testing.T) {
	t.Parallel()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	const dsn = "root:x@tcp(localhost:3306)/sluice"
	if _, err := in.WriteString(dsn + "\n"); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	file := fmt.Sprintf("/dev/fd/%d", out.Fd())
	if err := (db.Config{DSNFile: file, ConnsMax: 1, Timeout: time.Second}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (&redis.Config{Addrs: []string{"a:1"}, PasswordFile: file, CallTimeout: time.Second}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (db.Config{TLSCAFile: file, ConnsMax: 1, Timeout: time.Second}).Validate(); err == nil || !strings.Contains(err.Error(), "mysql-dsn") {
		t.Errorf("no DSN beside a pipe: %v", err)
	}
	if left, err := io.ReadAll(out); err != nil || string(left) != dsn+"\n" {
		t.Errorf("left in the pipe: %q, %v", left, err)
	}
}

func TestSecretFileIsBounded(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (db.Config{DSNFile: file}).OpenUnchecked(); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a file of 1 MB as a DSN: %v", err)
	}
	if _, err := (&redis.Config{PasswordFile: filepath.Join(t.TempDir(), "none")}).Client(); err == nil {
		t.Error("a missing password file: no error")
	}
	if _, err := (&redis.Config{TLSCAFile: file}).Client(); err == nil {
		t.Error("a CA file without certificates: no error")
	}
}
