package redisstock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
)

// wantShut holds that opening is refused for each of the causes, and that the server then sells nothing.
func wantShut(t *testing.T, s *shop, cfg redisstock.OpenConfig, causes ...string) {
	t.Helper()
	_, err := redisstock.Open(t.Context(), s.client, cfg)
	if !errors.Is(err, redisstock.ErrVetting) {
		t.Fatalf("error is %v, want a refusal", err)
	}
	for _, cause := range causes {
		if !strings.Contains(err.Error(), cause) {
			t.Errorf("error %q does not name %q", err, cause)
		}
	}
	wantNothingSold(t, s)
}

func wantNothingSold(t *testing.T, s *shop) {
	t.Helper()
	if shut, err := s.Shut(t.Context()); err != nil || len(shut) == 0 {
		t.Errorf("shut is %v (%v), want true", shut, err)
	}
	cell := newCell()
	if err := s.do(stock.OpReserve, take(stock.OpReserve, cell, 1, 1)).Err; !errors.Is(err, stock.ErrShut) || strings.Contains(err.Error(), "EVAL") {
		t.Errorf("error is %v, want shut, and no advice to go in without vetting", err)
	}
}

func TestOpenNewServer(t *testing.T) {
	t.Parallel()
	s := newShop(t, connect(t, servicetest.Redis(t).Addr), redisstock.Config{})
	wantNothingSold(t, s)

	report, err := redisstock.Open(t.Context(), s.client, openConfig())
	if err != nil || !report.New {
		t.Fatalf("report is %+v (%v), want a new deployment", report, err)
	}
	s.Trust(report.Marks)
	if shut, err := s.Shut(t.Context()); err != nil || len(shut) > 0 {
		t.Errorf("shut is %v (%v), want false", shut, err)
	}
	s.load(1, stock.Settings{})
	if report, err := redisstock.Open(t.Context(), s.client, openConfig()); err != nil || report.New {
		t.Errorf("opened again: report is %+v (%v), want no error and nothing new", report, err)
	}
}

// A shut server has lost something, perhaps an effect whose event is on the way to Kafka.
func TestOpenGivesKafkaTimeForWhatIsLost(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	s.must("SCRIPT", "", "FLUSH")
	cfg, began, took := openConfig(), time.Now(), time.Duration(0)
	cfg.Evidence = evidenceFunc(func() error {
		took = time.Since(began)
		return nil
	})
	if _, err := redisstock.Open(t.Context(), s.client, cfg); err != nil || took < stock.AckLateWait {
		t.Errorf("the evidence was read after %v (%v)", took, err)
	}
}

func TestOpenRefusesAnothersServer(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	s.must("SCRIPT", "", "FLUSH")

	other := openConfig()
	other.Deployment = "other"
	wantShut(t, s, other, `partitions 0-63: of deployment "test", not "other"`)
	other = openConfig()
	other.Partitions = 32
	wantShut(t, s, other, "partitions 0-31: of a deployment of 64 partitions, not 32")

	s.must("HSET", redisstock.MetaKey(5), "format", "2")
	wantShut(t, s, openConfig(), `partition 5: format "2", this program knows "1"`)
	s.must("DEL", redisstock.MetaKey(5))
	wantShut(t, s, openConfig(), "in part: partition 5: it holds nothing")
}

// TestOpenRefusesAnotherLedger gives one Redis to two deployments of one name, each with a MySQL of its own. The second
// one is refused, even while the server is shut, and neither renews the vetting of the other.
func TestOpenRefusesAnotherLedger(t *testing.T) {
	t.Parallel()
	client, first := connect(t, servicetest.Redis(t).Addr), openConfig()
	if _, err := redisstock.Open(t.Context(), client, first); err != nil { // before there were ids of databases
		t.Fatal(err)
	}
	first.Nonces.(*redistest.Nonces).ID = "a"
	if report, err := redisstock.Open(t.Context(), client, first); err != nil || report.Renewed != 0 {
		t.Fatalf("%d partitions renewed (%v), want that the database is written down only", report.Renewed, err)
	}
	s := newShop(t, client, redisstock.Config{})
	cell := s.load(5, stock.Settings{})
	second := openConfig()
	second.Nonces = &redistest.Nonces{ID: "b"}
	for _, when := range []string{"open", "shut"} {
		_, err := redisstock.Open(t.Context(), client, second)
		if !errors.Is(err, redisstock.ErrVetting) || !strings.Contains(err.Error(), "the id a, and this one is b") {
			t.Errorf("%s: %v, want a refusal", when, err)
		}
		newcomer, err := redisstock.New(client, redisstock.Config{Partitions: stock.PartitionsDefault, CallTimeout: 20e9})
		if err != nil {
			t.Fatal(err)
		}
		if err := newcomer.Adopt(t.Context(), second.Nonces); !errors.Is(err, redisstock.ErrForeign) || !strings.Contains(err.Error(), "set SLUICE_MYSQL_DSN") {
			t.Errorf("%s: adopting: %v, want a refusal", when, err)
		}
		if when == "open" {
			s.reserve(cell, 1, 1)
			s.must("SCRIPT", "", "FLUSH")
		}
	}
	if _, err := redisstock.Open(t.Context(), client, first); err != nil {
		t.Error(err)
	}
}

// TestCheckDeployment compares settings with a Redis that nobody has opened yet, and with one that is open.
func TestCheckDeployment(t *testing.T) {
	t.Parallel()
	for name, connected := range map[string]func(*testing.T) rueidis.Client{
		"server":  func(t *testing.T) rueidis.Client { t.Helper(); return connect(t, servicetest.Redis(t).Addr) },
		"cluster": func(t *testing.T) rueidis.Client { t.Helper(); return connect(t, servicetest.RedisCluster(t).Addrs...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := connected(t)
			check := func(partitions int, deployment string) error {
				s, err := redisstock.New(client, redisstock.Config{Partitions: partitions})
				if err != nil {
					t.Fatal(err)
				}
				return s.CheckDeployment(t.Context(), deployment)
			}
			if err := check(32, "other"); err != nil {
				t.Errorf("a new server is nobody's: %v", err)
			}
			open(t, client)
			if err := check(64, "test"); err != nil {
				t.Error(err)
			}
			for want, err := range map[string]error{
				"partitions 0-31: of a deployment of 64 partitions, not 32: set --partitions":  check(32, "test"),
				"partitions 0-63: of a deployment of 64 partitions, not 128: set --partitions": check(128, "test"),
				`partitions 0-63: of deployment "test", not "other": set --deployment`:         check(64, "other"),
			} {
				if !errors.Is(err, redisstock.ErrForeign) || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q", err, want)
				}
			}
		})
	}
}

// TestCheckDeploymentOfPartOfACluster checks the servers that answer, and fails if none does. Nobody opens a part of a
// cluster, but vetted partitions can be adopted.
func TestCheckDeploymentOfPartOfACluster(t *testing.T) {
	t.Parallel()
	cluster := servicetest.RedisCluster(t)
	s, cfg := newShop(t, connect(t, cluster.Addrs...), redisstock.Config{}), openConfig()
	if _, err := redisstock.Open(t.Context(), s.client, cfg); err != nil {
		t.Fatal(err)
	}
	for i, node := range cluster.Nodes {
		if err := node.Kill(); err != nil {
			t.Fatal(err)
		}
		err := s.CheckDeployment(t.Context(), "test")
		last := i == len(cluster.Nodes)-1
		if (err != nil) != last || errors.Is(err, redisstock.ErrForeign) {
			t.Errorf("without %d of the servers: %v", i+1, err)
		}
		newcomer := restarted(s, redisstock.Config{})
		if err := newcomer.Adopt(t.Context(), cfg.Nonces); err == nil || newcomer.Trusts() == last {
			t.Errorf("without %d of the servers: adopted %v, error %v", i+1, newcomer.Trusts(), err)
		}
		if _, err := redisstock.Open(t.Context(), s.client, cfg); err == nil || !strings.Contains(err.Error(), "slots have a primary") {
			t.Errorf("opened without %d of the servers: %v", i+1, err)
		}
	}
}

func TestOpenRefusesStockWithoutOwner(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := s.load(1, stock.Settings{})
	for p := range stock.PartitionsDefault {
		s.must("DEL", redisstock.MetaKey(p))
	}
	s.must("SCRIPT", "", "FLUSH")
	wantShut(t, s, openConfig(), "1 partitions hold stock but not whose it is")
	s.must("DEL", redisstock.CellsKey(partition(cell))) // what is left is somebody's too
	wantShut(t, s, openConfig(), "1 partitions hold stock but not whose it is")
}

// TestOpenNamesEverySetting spoils all settings at once.
func TestOpenNamesEverySetting(t *testing.T) {
	t.Parallel()
	s := newShop(t, connect(t, servicetest.Redis(t).Addr), redisstock.Config{})
	s.must("CONFIG", "", "SET", "appendonly", "no", "maxmemory-policy", "allkeys-lru")
	wantShut(t, s, openConfig(), "maxmemory-policy allkeys-lru", "appendonly no")
	if len(s.dump(0)) != 0 {
		t.Error("a refused server was marked as the deployment's")
	}

	cfg := openConfig()
	cfg.AllowNoPersistence = true
	wantShut(t, s, cfg, "maxmemory-policy allkeys-lru")
	s.must("CONFIG", "", "SET", "maxmemory-policy", "noeviction")
	if _, err := redisstock.Open(t.Context(), s.client, cfg); err != nil {
		t.Errorf("without persistence, which was allowed: %v", err)
	}
}

func TestOpenRefusesReplica(t *testing.T) {
	t.Parallel()
	primary := servicetest.Redis(t)
	open(t, connect(t, primary.Addr))
	replica := servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: primary.Addr})
	wantShut(t, newShop(t, connect(t, replica.Addr), redisstock.Config{}), openConfig(), "is a slave, want a primary")
}

// TestOpenComparesWithEvidence restarts a server and claims to have seen more of some of its cells.
func TestOpenComparesWithEvidence(t *testing.T) {
	t.Parallel()
	server := servicetest.Redis(t)
	s := newShop(t, connect(t, server.Addr), redisstock.Config{})
	s.open()
	evidence := known{}
	var cells []stock.Cell
	for range 20 {
		cell := s.load(100, stock.Settings{})
		s.reserve(cell, 1, 1)
		cells = append(cells, cell)
		evidence[cell] = stock.Position{Epoch: 1, Seq: 2}
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	untilConnected(t, s)
	wantNothingSold(t, s)

	for i, cell := range cells[:15] {
		evidence[cell] = stock.Position{Epoch: 1, Seq: uint64(3 + i)}
	}
	never := stock.Cell{SKU: 77}
	evidence[never] = stock.Position{Epoch: 3, Seq: 1000}
	cfg := openConfig()
	cfg.Evidence = evidence
	report, err := redisstock.Open(t.Context(), s.client, cfg)
	for _, cause := range []string{
		"lost effects of 16 cells",
		never.String() + " is at epoch 0 seq 0, known is epoch 3 seq 1000",
		cells[14].String() + " is at epoch 1 seq 2, known is epoch 1 seq 17",
	} {
		if !errors.Is(err, redisstock.ErrVetting) || !strings.Contains(err.Error(), cause) {
			t.Errorf("error %v does not name %q", err, cause)
		}
	}
	// Partitions that have lost something stay shut, all others sell, and may have new cells.
	s.Trust(report.Marks)
	lost := map[int]bool{partition(never): true}
	for _, cell := range cells[:15] {
		lost[partition(cell)] = true
	}
	shut, err := s.Shut(t.Context())
	if err != nil || len(shut) != len(lost) {
		t.Errorf("partitions %v are shut (%v), want the %d that have lost something", shut, err, len(lost))
	}
	for i, cell := range cells {
		s.trySell("partly open", cell, int64(100+i), !lost[partition(cell)])
		if fresh := newCell(); lost[partition(fresh)] == (s.do(stock.OpAdjust, creation(fresh, 1, stock.Settings{})).Err == nil) {
			t.Errorf("partition %d: created or not, and it has lost something: %v", partition(fresh), lost[partition(fresh)])
		}
	}
	report, _, err = redisstock.Inspect(t.Context(), s.client, cfg)
	if err != nil || report.Behind != 16 || len(report.Worst) != 10 || report.Worst[0].Cell != never {
		t.Errorf("report is %+v (%v), want 16 cells behind, the worst 10 of them named", report, err)
	}

	for _, cell := range cells[:15] {
		evidence[cell] = stock.Position{Epoch: 1, Seq: 1} // older than Redis, which is as it should be
	}
	delete(evidence, never)
	if _, err := redisstock.Open(t.Context(), s.client, cfg); err != nil {
		t.Errorf("Redis is not behind, but %v", err)
	}
	s.trust()
	s.reserve(cells[0], 2, 1)
}

// many is evidence of more positions than are compared at once, each yielded twice.
type many struct {
	redistest.NoEvidence

	positions int
}

func (m many) Highest(_ context.Context, yield func(stock.Cell, stock.Position) error) error {
	for range 2 {
		for sku := range m.positions {
			if err := yield(stock.Cell{SKU: int64(sku + 1)}, stock.Position{}); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestOpenReadsEvidenceInChunks(t *testing.T) {
	t.Parallel()
	client := connect(t, servicetest.Redis(t).Addr)
	cfg := openConfig()
	cfg.Evidence = many{positions: 10_000}
	report, err := redisstock.Open(t.Context(), client, cfg)
	if err != nil || report.Positions != 20_000 {
		t.Errorf("report is %+v (%v), want 20000 positions", report, err)
	}
}

// evidenceFunc is evidence that does something while it is read.
type evidenceFunc func() error

func (f evidenceFunc) Highest(context.Context, func(stock.Cell, stock.Position) error) error {
	return f()
}

func (evidenceFunc) Forks(context.Context, func(stock.Cell, stock.Position) error) error { return nil }

// TestRestartDuringVetting restarts the server after it was looked at, before scripts are loaded: what
// was vetted is gone.
func TestRestartDuringVetting(t *testing.T) {
	t.Parallel()
	server := servicetest.Redis(t)
	s := newShop(t, connect(t, server.Addr), redisstock.Config{})
	cfg := openConfig()
	cfg.Evidence = evidenceFunc(func() error {
		if err := server.Kill(); err != nil {
			return err
		}
		if err := server.Restart(t.Context()); err != nil {
			return err
		}
		untilConnected(t, s)
		return nil
	})
	if _, err := redisstock.Open(t.Context(), s.client, cfg); err == nil {
		t.Error("a server was opened that had restarted since it was vetted")
	}
	wantNothingSold(t, s)
}

func TestOpenFailsWithItsEvidence(t *testing.T) {
	t.Parallel()
	s := newShop(t, connect(t, servicetest.Redis(t).Addr), redisstock.Config{})
	broken := errors.New("mysql is away")
	cfg := openConfig()
	cfg.Evidence = evidenceFunc(func() error { return broken })
	if _, err := redisstock.Open(t.Context(), s.client, cfg); !errors.Is(err, broken) || errors.Is(err, redisstock.ErrVetting) {
		t.Errorf("error is %v, want %v and no finding", err, broken)
	}
	wantNothingSold(t, s)
}

func TestOpenByManyAtOnce(t *testing.T) {
	t.Parallel()
	client := connect(t, servicetest.Redis(t).Addr)
	var opening sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		opening.Go(func() {
			cfg := openConfig()
			cfg.Deployment = fmt.Sprintf("deployment %d", i%2)
			_, errs[i] = redisstock.Open(t.Context(), client, cfg)
		})
	}
	opening.Wait()
	opened := [2]int{}
	for i, err := range errs {
		if err == nil {
			opened[i%2]++
		} else if !errors.Is(err, redisstock.ErrVetting) {
			t.Errorf("error is %v, want a refusal", err)
		}
	}
	if opened[0] > 0 && opened[1] > 0 {
		t.Errorf("two deployments opened one server: %v", opened)
	}
	t.Logf("opened %d and %d times", opened[0], opened[1])
}

func TestOpenCluster(t *testing.T) {
	t.Parallel()
	cluster := servicetest.RedisCluster(t)
	s := newShop(t, connect(t, cluster.Addrs...), redisstock.Config{})
	report, err := redisstock.Open(t.Context(), s.client, openConfig())
	if err != nil || len(report.Primaries) != 3 || !report.New {
		t.Fatalf("report is %+v (%v), want three new primaries", report, err)
	}
	one := connect(t, cluster.Addrs[1]).Nodes()[cluster.Addrs[1]]
	if err := one.Do(t.Context(), one.B().ScriptFlush().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if shut, err := s.Shut(t.Context()); err != nil || len(shut) == 0 {
		t.Errorf("a primary lacks the scripts: shut is %v (%v), want true", shut, err)
	}
	s.open()
	if shut, err := s.Shut(t.Context()); err != nil || len(shut) > 0 {
		t.Errorf("shut is %v (%v), want false", shut, err)
	}
}

func TestOpenConfigNamesAllFaults(t *testing.T) {
	t.Parallel()
	err := redisstock.OpenConfig{}.Validate()
	for _, fault := range []string{"partitions", "deployment", "evidence"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("error %v does not name %s", err, fault)
		}
	}
}
