package redisstock_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/stocktest"
	"sluice/lua"
)

// userOf makes the user of a role as the document has it, with changes, and connects as that user.
func userOf(t *testing.T, role string, changes string, addrs ...string) rueidis.Client {
	t.Helper()
	document, err := os.ReadFile("../../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ACL SETUSER ` + role + ` .*$`).FindString(string(document))
	if line == "" {
		t.Fatalf("the document has no user %s", role)
	}
	for _, addr := range addrs {
		single := redis.Options([]string{addr}, "", "")
		single.ForceSingleClient = true
		client, err := rueidis.NewClient(single)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		if err := client.Do(t.Context(), client.B().Arbitrary(strings.Fields(line+" "+changes)...).Build()).Error(); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	client, err := rueidis.NewClient(redis.Options(addrs, role, "PASSWORD"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// TestRightsAreEnough opens Redis and decides everything as the user of an edge, on a server and on a cluster, and
// does what persisters do as theirs.
func TestRightsAreEnough(t *testing.T) {
	t.Parallel()
	for name, addrs := range map[string][]string{"server": {servicetest.Redis(t).Addr}, "cluster": servicetest.RedisCluster(t).Addrs} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, role := range []string{"sluice_edge", "sluice_operator"} {
				open(t, userOf(t, role, "", addrs...))
			}
			admin, edge := connect(t, addrs...), userOf(t, "sluice_edge", "", addrs...)
			open(t, admin)
			whole := fixture(admin)(t)
			whole.Open = func(t testing.TB, o stocktest.Options) stocktest.Store {
				t.Helper()
				return newStore(t, edge, redisstock.Config{Retention: o.Retention, OutboxEntriesMax: o.OutboxEntriesMax, Ack: o.Ack})
			}
			stocktest.Run(t, func(*testing.T) stocktest.Fixture { return whole })
		})
	}
}

// TestRightsAreEnoughToDisarm takes the scripts from a replica as the user of an edge. Without the right it says so, and the
// scripts stay; so they do on a primary.
func TestRightsAreEnoughToDisarm(t *testing.T) {
	t.Parallel()
	primary := servicetest.Redis(t)
	replica := servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: primary.Addr})
	all, err := lua.All()
	if err != nil {
		t.Fatal(err)
	}
	disarmed := func(addr, changes string) (bool, error) {
		t.Helper()
		admin := newShop(t, connect(t, addr), redisstock.Config{})
		for _, script := range all {
			admin.must("SCRIPT", "", "LOAD", script.Source)
		}
		edge := userOf(t, "sluice_edge", changes, addr)
		failed := newShop(t, edge, redisstock.Config{}).DisarmReplicas(t.Context(), edge.Nodes())
		there, err := admin.client.Do(t.Context(), admin.client.B().ScriptExists().Sha1(all[0].SHA1).Build()).AsIntSlice()
		if err != nil {
			t.Fatal(err)
		}
		return there[0] == 0, failed
	}
	if gone, err := disarmed(replica.Addr, "-script|flush"); gone || err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("without the right: gone is %v, error %v", gone, err)
	}
	if gone, err := disarmed(replica.Addr, ""); !gone || err != nil {
		t.Errorf("a replica: gone is %v, error %v", gone, err)
	}
	if gone, err := disarmed(primary.Addr, ""); gone || err != nil {
		t.Errorf("a primary: gone is %v, error %v", gone, err)
	}
}

// TestRightsAreAskedFor takes each command of the scripts from the user. Nothing is opened and nobody starts, before
// any script could break off between its writes.
func TestRightsAreAskedFor(t *testing.T) {
	t.Parallel()
	addr := servicetest.Redis(t).Addr
	for _, command := range commandsOf(t) {
		client := userOf(t, "sluice_edge", "-"+strings.ToLower(command), addr)
		_, err := redisstock.Open(t.Context(), client, openConfig())
		if !errors.Is(err, redisstock.ErrVetting) || !errors.Is(err, redisstock.ErrDenied) || !strings.Contains(err.Error(), command) {
			t.Errorf("opened without %s: %v", command, err)
		}
		s, err := redisstock.New(client, redisstock.Config{Partitions: stock.PartitionsDefault})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.CheckDeployment(t.Context(), "test"); err == nil || command != "HMGET" && !errors.Is(err, redisstock.ErrDenied) {
			t.Errorf("started without %s: %v", command, err)
		}
	}
}

// TestRenamedCommandsAreFound takes commands from the server itself. Here too nothing is opened and nobody starts.
func TestRenamedCommandsAreFound(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"HSET", "XADD", "TIME", "EVAL", "EVALSHA", "XDEL"} {
		client := connect(t, servicetest.RedisWith(t, local.RedisOptions{Extra: []string{"rename-command " + command + ` ""`}}).Addr)
		_, err := redisstock.Open(t.Context(), client, openConfig())
		if !errors.Is(err, redisstock.ErrVetting) || !errors.Is(err, redisstock.ErrDenied) || !strings.Contains(err.Error(), command) {
			t.Errorf("opened without %s: %v", command, err)
		}
		s, err := redisstock.New(client, redisstock.Config{Partitions: stock.PartitionsDefault})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.CheckDeployment(t.Context(), "test"); !errors.Is(err, redisstock.ErrDenied) || !strings.Contains(err.Error(), command) {
			t.Errorf("started without %s: %v", command, err)
		}
	}
}

// commandsOf are the commands that the scripts call.
func commandsOf(t *testing.T) []string {
	t.Helper()
	all, err := lua.All()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, script := range all {
		for _, m := range regexp.MustCompile(`(?:call|write_list)\("([A-Z]+)"`).FindAllStringSubmatch(script.Source, -1) {
			found[m[1]] = true
		}
	}
	var commands []string
	for command := range found {
		commands = append(commands, command)
	}
	slices.Sort(commands)
	var asked []string
	for _, words := range redisstock.ScriptCommands {
		command, _, _ := strings.Cut(words, " ")
		asked = append(asked, command)
	}
	for _, upkeep := range []string{"EVALSHA", "EXISTS", "HINCRBY", "HSCAN", "TIME", "XDEL", "XRANGE"} { // of upkeep too, without a key, and by programs
		if !slices.Contains(commands, upkeep) {
			commands = append(commands, upkeep)
		}
		if !slices.Contains(asked, upkeep) {
			asked = append(asked, upkeep)
		}
	}
	slices.Sort(commands)
	slices.Sort(asked)
	if diff := cmp.Diff(commands, asked); diff != "" {
		t.Errorf("commands that are asked for (-in the scripts +asked):\n%s", diff)
	}
	return commands
}

// TestOpenWithoutConfig opens a server that does not tell its settings by CONFIG, as those of managed services. What
// INFO tells is held to, and the rest is named. Without INFO nothing is opened.
func TestOpenWithoutConfig(t *testing.T) {
	t.Parallel()
	addr := servicetest.Redis(t).Addr
	admin := newShop(t, connect(t, addr), redisstock.Config{})
	client := userOf(t, "sluice_edge", "-config|get", addr)
	var log bytes.Buffer
	cfg := openConfig()
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	opened := func() error {
		_, err := redisstock.Open(t.Context(), client, cfg)
		return err
	}
	for name, bad := range map[string][2]string{"maxmemory-policy": {"allkeys-lru", "noeviction"}, "appendonly": {"no", "yes"}} {
		admin.must("CONFIG", "", "SET", name, bad[0])
		if err := opened(); !errors.Is(err, redisstock.ErrVetting) || !strings.Contains(err.Error(), name+" "+bad[0]) {
			t.Errorf("with %s %s: %v", name, bad[0], err)
		}
		admin.must("CONFIG", "", "SET", name, bad[1])
	}
	if err := opened(); err != nil || !strings.Contains(log.String(), "appendfsync, save and stop-writes-on-bgsave-error are unverified") {
		t.Errorf("error %v, log %s", err, &log)
	}
	faults, err := redisstock.ServerFaults(t.Context(), client)
	if err != nil || len(faults) != 1 || faults[0].Word != "unverified" {
		t.Errorf("faults %v, error %v", faults, err)
	}
	client = userOf(t, "sluice_edge", "-info", addr)
	if err := opened(); err == nil || !strings.Contains(strings.ToLower(err.Error()), "info") {
		t.Errorf("opened without INFO: %v", err)
	}
}
