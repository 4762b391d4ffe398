package persister

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/evidence"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/telemetry/telemetrytest"
)

// shop sells through the scripts of a real Redis.
type shop struct {
	*world
	store *redisstock.Store
	cells []stock.Cell

	mu   sync.Mutex
	held []stock.Request
}

func newShop(t *testing.T, brokers []string) *shop {
	t.Helper()
	s := &shop{world: newWorld(t, brokers, servicetest.MariaDB(t))}
	var err error
	if s.store, err = redisstock.New(s.redis, redisstock.Config{Partitions: testPartitions, CallTimeout: 20 * time.Second}); err != nil {
		t.Fatal(err)
	}
	s.open()
	for i := range 30 {
		c := stock.Cell{SKU: int64(1 + i), Pool: uint32(i % 2)}
		s.cells = append(s.cells, c)
		s.do(stock.OpAdjust, stock.Request{
			ID: stock.Identity{Route: stock.OpAdjust, Cell: c, Key: "load"}.ID(testPartitions), Cell: c,
			Adjustment: &stock.Adjustment{
				Kind: stock.AdjustPlain, Create: true, Delta: 40, Reason: "load",
				Settings: stock.Settings{Limit: 5, Hold: 500 * time.Millisecond, ExtendMax: 700 * time.Millisecond},
			},
		})
	}
	return s
}

// open vets Redis by what MySQL and Kafka know, and opens it.
func (s *shop) open() {
	s.t.Helper()
	report, err := redisstock.Open(s.t.Context(), s.redis, redisstock.OpenConfig{
		Partitions: testPartitions, Deployment: s.cfg.Stock.Deployment, Log: slog.New(slog.DiscardHandler),
		Nonces:   evidence.NewNonces(s.db),
		Evidence: evidence.New(s.db, evidence.KafkaTail{Brokers: s.cfg.Kafka.Brokers, Topic: s.cfg.Kafka.Topic, Group: s.cfg.Kafka.Group}),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.store.Trust(report.Marks)
}

// do decides requests, and publishes their events like an edge, or dies before.
func (s *shop) do(op stock.Op, requests ...stock.Request) {
	s.t.Helper()
	v := &stock.Vector{Op: op, Partition: requests[0].ID.Partition(), Requests: requests}
	if s.store.Do(s.t.Context(), v); v.Err != nil {
		s.t.Error(v.Err)
		return
	}
	if v.Entry.ID != "" && rand.IntN(10) > 0 {
		s.pub.Publish(v.Entry)
	}
	if op != stock.OpReserve {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range v.Outcomes {
		if o.Verdict == stock.VerdictOK {
			s.held = append(s.held, requests[i])
		}
	}
}

// shop sends random vectors.
func (s *shop) shop(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	for n := range 100 {
		c := s.cells[random.IntN(len(s.cells))]
		op := []stock.Op{
			stock.OpReserve, stock.OpReserve, stock.OpDeduct, stock.OpConfirm, stock.OpRelease, stock.OpExtend, stock.OpReturn,
		}[random.IntN(7)]
		if op == stock.OpExtend {
			s.mu.Lock()
			some := slices.Clone(s.held[max(0, len(s.held)-3):])
			s.mu.Unlock()
			for _, r := range some {
				s.do(op, stock.Request{ID: r.ID, DeadlineMS: time.Now().UnixMilli() + 1000})
			}
			continue
		}
		if op == stock.OpConfirm || op == stock.OpRelease {
			s.mu.Lock()
			if len(s.held) == 0 {
				s.mu.Unlock()
				continue
			}
			i := random.IntN(len(s.held))
			settled := s.held[i]
			s.held = append(s.held[:i], s.held[i+1:]...)
			s.mu.Unlock()
			s.do(op, stock.Request{ID: settled.ID, Cell: settled.Cell, User: settled.User})
			continue
		}
		var requests []stock.Request
		for i := range 1 + random.IntN(8) {
			user, quantity := 1+random.Int64N(50), 1+random.Int64N(2)
			key := fmt.Sprintf("%d-%d-%d", seed, n, i)
			requests = append(requests, stock.Request{
				ID:   stock.Identity{User: user, Route: op, Cell: c, Key: key}.ID(testPartitions),
				Cell: c, User: user, Quantity: quantity, Fingerprint: stock.FingerprintOf(quantity), Reason: "did not fit",
			})
		}
		s.do(op, requests...)
	}
}

// TestEveryUnitIsInMySQL sells from a real Redis, with edges that die before they publish and reservations
// that expire, and then finds in MySQL what Redis says, cell by cell and reservation by reservation.
func TestEveryUnitIsInMySQL(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		s := newShop(t, brokers)
		s.start()
		n := s.start()
		var shoppers sync.WaitGroup
		for i := range 8 {
			shoppers.Go(func() { s.shop(s.history.seed + uint64(i)) })
		}
		shoppers.Wait()

		var redis []string
		s.eventually("nothing held", func() string {
			cells, _, err := s.store.Cells(t.Context(), s.cells)
			if err != nil {
				return err.Error()
			}
			redis = nil
			held := int64(0)
			for _, c := range cells {
				held += c.Held
				redis = append(redis, fmt.Sprintf("%d %d %d %d %d %d %d %d", c.Cell.SKU, c.Cell.Pool, c.Total, c.Avail, c.Held, c.Sold, c.Epoch, c.Seq))
			}
			if held > 0 {
				return fmt.Sprintf("%d units held", held)
			}
			return "nothing held"
		})
		const inventories = "SELECT i.sku_id, i.pool, total_stock, available_stock, reserved_stock, sold_stock, i.epoch, m.seq " +
			"FROM product_inventories i JOIN applied_marks m ON m.sku_id = i.sku_id AND m.pool = i.pool AND m.epoch = i.epoch ORDER BY 1, 2"
		s.eventually(strings.Join(redis, "\n"), func() string {
			return strings.Join(lines(t, s.db, inventories), "\n")
		})
		s.eventually("outbox empty", func() string {
			stats, err := s.store.OutboxStats(t.Context())
			for p, stat := range stats {
				if stat.Entries > 0 {
					return fmt.Sprintf("%d entries in partition %d", stat.Entries, p)
				}
			}
			if err != nil {
				return err.Error()
			}
			return "outbox empty"
		})
		s.compareReservations()
		if letters := lines(t, s.db, allLetters); len(letters) > 0 {
			t.Errorf("dead letters: %q", letters)
		}
		s.open() // Redis is not behind of what MySQL knows
		telemetrytest.Check(t, get(t, n, "metrics"), "core", "persister")
	})
}

func (s *shop) compareReservations() {
	s.t.Helper()
	var ids []stock.ReservationID
	for p := range testPartitions {
		err := s.store.ScanReservations(s.t.Context(), p, func(id stock.ReservationID) error {
			ids = append(ids, id)
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	found, _, err := s.store.Reservations(s.t.Context(), ids)
	if err != nil {
		s.t.Fatal(err)
	}
	want := map[string]bool{}
	for _, r := range found {
		if r.State != stock.StateAdjusted {
			want[fmt.Sprintf("%X %d %d %d %d %v %d %d", r.ID[:], r.Cell.SKU, r.Cell.Pool, r.User, r.Quantity, r.State, r.Seq, r.DeadlineMS)] = true
		}
	}
	got := map[string]bool{}
	for _, line := range lines(s.t, s.db, "SELECT HEX(reservation_id), sku_id, pool, user_id, quantity, state, seq, deadline_ms FROM reservations") {
		got[line] = true
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 100 {
		s.t.Errorf("%d reservations in Redis, those that differ in MySQL:\n%s", len(want), diff)
	}
}
