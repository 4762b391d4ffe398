package catalog_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/catalog"
	"sluice/catalog/internal/outbox"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/kafka"
	"sluice/core/lifecycle"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/place"
)

// These make the test binary a process of the shop.
const dsnFileEnv, keysEnv, brokersEnv = "SLUICE_TEST_CATALOG_DSN_FILE", "SLUICE_TEST_CATALOG_KEYS", "SLUICE_TEST_CATALOG_BROKERS"

// serveShop runs the shop until somebody kills the process. It prints its address.
func serveShop(dsnFile, keys, broker string) {
	cfg := catalog.Config{
		MySQL: place.MySQL{DSNFile: dsnFile}, Kafka: kafka.Cluster{Brokers: []string{broker}}, Ops: config.Ops{Listen: "127.0.0.1:0"},
		Listen: "127.0.0.1:0", TokenKeyFile: keys, Vault: catalog.VaultConfig{File: keys + ".vault"},
	}
	cfg.SigningKeysFile, cfg.AccountSecretFile = accountFiles(keys)
	err := kong.ApplyDefaults(&cfg)
	if err == nil {
		var node *catalog.Node
		cfg.RatePerUser, cfg.RatePerAddress = 0, 0
		if node, err = catalog.Start(context.Background(), cfg, slog.New(slog.NewTextHandler(os.Stderr, nil))); err == nil {
			fmt.Println(node.Addr())
			select {}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// killable is a shop in a process of its own.
type killable struct {
	*shop
	env    []string
	cmd    *exec.Cmd
	addr   atomic.Pointer[string]
	output lines
}

// begin starts the process.
func (k *killable) begin() {
	k.t.Helper()
	k.cmd = exec.CommandContext(k.t.Context(), os.Args[0])
	k.cmd.Env = k.env
	k.cmd.Stderr = &k.output
	out, err := k.cmd.StdoutPipe()
	if err == nil {
		err = k.cmd.Start()
	}
	if err != nil {
		k.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		k.t.Fatalf("the shop does not start: %v\n%s", err, k.output.String())
	}
	addr := strings.TrimSpace(line)
	k.addr.Store(&addr)
}

// kill ends the process by SIGKILL.
func (k *killable) kill() {
	_ = k.cmd.Process.Kill() // else it has ended
	_ = k.cmd.Wait()
}

// makeUsers makes users, each by one client that repeats its request until it is answered.
func (k *killable) makeUsers(first, last int64) {
	token := k.token(1, auth.RoleService)
	users := make(chan int64)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for user := range users {
				ctx, cancel := context.WithTimeout(k.t.Context(), time.Minute)
				err := lifecycle.Poll(ctx, 20*time.Millisecond, func() error { return k.put(ctx, user, token) }, func(error) bool { return false })
				cancel()
				if err != nil {
					k.t.Errorf("user %d: %v", user, err)
				}
			}
		})
	}
	for user := first; user <= last; user++ {
		users <- user
	}
	close(users)
	all.Wait()
}

func (k *killable) put(ctx context.Context, user int64, token string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, fmt.Sprintf("http://%s/v1/users/%d", *k.addr.Load(), user), strings.NewReader(`{"region":"eu","locale":"de"}`))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"Authorization": "Bearer " + token, "Idempotency-Key": "k", "Content-Type": "application/json"} {
		r.Header.Set(name, value)
	}
	resp, err := k.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%d %s", resp.StatusCode, body)
	}
	return err
}

// broker is a broker at an address that stays.
type broker struct {
	t    *testing.T
	dir  string
	port int
	*local.Broker
}

func (b *broker) start() {
	b.t.Helper()
	var err error
	if b.Broker, err = local.StartBroker(b.t.Context(), b.dir, b.port); err != nil {
		b.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(b.Addrs[0])
	if b.port, err = strconv.Atoi(port); err != nil {
		b.t.Fatal(err)
	}
}

// TestEventsSurvive kills the shop between commit and publishing and in the middle of its work, takes Kafka and MariaDB away,
// and finds an event of each user in the end.
func TestEventsSurvive(t *testing.T) {
	t.Parallel()
	server, dsn := servicetest.PrivateDatabase(t)
	b := &broker{t: t, dir: t.TempDir()}
	b.start()
	t.Cleanup(func() { b.Stop() })
	k := &killable{shop: newShopIn(t, layout{"private", func(s *shop) { s.cfg.MySQL.DSN = config.Secret(dsn) }})}
	t.Cleanup(k.http.CloseIdleConnections)
	dsnFile := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsnFile, []byte(dsn), 0o600); err != nil {
		t.Fatal(err)
	}
	k.env = append(slices.Clone(os.Environ()), dsnFileEnv+"="+dsnFile, keysEnv+"="+k.cfg.TokenKeyFile, brokersEnv+"="+b.Addrs[0])
	if err := catalog.CreateTopics(t.Context(), kafka.Cluster{Brokers: b.Addrs, Partitions: 3, Replication: 1}); err != nil {
		t.Fatal(err)
	}
	k.begin()
	t.Cleanup(k.kill)
	k.makeUsers(1, 20)

	b.Stop() // from here on events are committed and not published
	k.makeUsers(21, 40)
	k.kill()
	k.begin()
	k.makeUsers(41, 60)
	b.start()

	var making sync.WaitGroup
	making.Go(func() { k.makeUsers(61, 260) })
	k.kill()
	k.begin()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.kill()
	k.begin()
	making.Wait()
	k.makeUsers(261, 280)
	if repeated := readEvents(t, b.Addrs, 280); repeated > 0 {
		t.Logf("%d events were repeated", repeated)
	}
}

// readEvents reads the topic of users until it has one event of each, and holds what it reads to the promises.
func readEvents(t *testing.T, brokers []string, users int) (repeated int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics("sluice.users.v1"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seen := map[string]outbox.Event{}
	for len(seen) < users {
		fetches := client.PollFetches(ctx)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Fatalf("%d of %d users have an event in the topic", len(seen), users)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			e, err := outbox.Parse(r.Value)
			had, again := seen[e.Aggregate]
			switch {
			case err != nil || string(r.Key) != e.Aggregate || e.Type != "user_made" || e.Version != 1 || string(e.Data) != `{"state":"active"}`:
				t.Errorf("%s: %v", r.Value, err)
			case again && had.ID != e.ID:
				t.Errorf("user %s was made twice: %v and %v", e.Aggregate, had.ID, e.ID)
			case again:
				repeated++
			}
			seen[e.Aggregate] = e
		})
	}
	return repeated
}
