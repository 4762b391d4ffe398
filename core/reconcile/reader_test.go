package reconcile_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/core/ledger"
	"sluice/core/reconcile"
	"sluice/core/show"
	"sluice/core/stock"
)

// stores are a Redis and a MySQL that catches up by one event a look.
type stores struct {
	asked        []string
	redis        stock.CellState
	mysql        ledger.Stock
	catchesUp    bool
	away, silent error
}

func (s *stores) Cells(_ context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	s.asked = append(s.asked, "redis")
	states := make([]stock.CellState, len(cells))
	for i, cell := range cells {
		states[i] = stock.CellState{Cell: cell}
		if cell.SKU == int64(s.mysql.SKU) {
			states[i] = s.redis
		}
	}
	return states, 0, s.away
}

func (s *stores) Cell(_ context.Context, cell stock.Cell) (*ledger.Stock, error) {
	s.asked = append(s.asked, "mysql")
	if cell.SKU != int64(s.mysql.SKU) {
		return nil, s.silent
	}
	row := s.mysql
	if s.catchesUp && s.mysql.Seq < s.redis.Seq {
		s.mysql.Seq++
	}
	return &row, s.silent
}

func newStores(behind uint64) *stores {
	return &stores{
		redis: stock.CellState{
			Cell: stock.Cell{SKU: 1}, Loaded: true, Position: stock.Position{Epoch: 1, Seq: 9},
			Balances: stock.Balances{Avail: 3, Held: 2, Sold: 1, Total: 6}, Settings: stock.Settings{Hold: time.Minute},
		},
		mysql: ledger.Stock{
			SKU: 1, Epoch: 1, Seq: 9 - behind, Avail: 3, Held: 2, Sold: 1, Total: 6, SafeStock: 4, WarehouseID: 5,
			UpdatedAt: show.Moment(1_800_000_000_120),
		},
	}
}

// MySQL is read before Redis: else what happens in between looks like a loss.
func TestMySQLIsReadFirst(t *testing.T) {
	t.Parallel()
	s := newStores(2)
	found, err := reconcile.Read(t.Context(), s, s, []stock.Cell{{SKU: 1}, {SKU: 2}})
	if err != nil || !slices.Equal(s.asked, []string{"mysql", "mysql", "redis"}) {
		t.Fatalf("asked %v, %v", s.asked, err)
	}
	if f := found[0]; f.Status != reconcile.StatusBehind || f.Behind != 2 || !f.Known() {
		t.Errorf("SKU 1: %+v", f)
	}
	if f := found[1]; f.Status != reconcile.StatusMissing || f.Known() {
		t.Errorf("SKU 2: %+v", f)
	}
	s.away = errors.New("away")
	if _, err := reconcile.Read(t.Context(), s, s, []stock.Cell{{SKU: 1}}); !errors.Is(err, s.away) {
		t.Errorf("Redis is away: %v", err)
	}
	s.silent = errors.New("silent")
	if _, err := reconcile.Read(t.Context(), s, s, []stock.Cell{{SKU: 1}}); !errors.Is(err, s.silent) {
		t.Errorf("MySQL is away: %v", err)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		catchesUp bool
		wait      time.Duration
		want      reconcile.Status
		looks     int
	}{
		{"until it has caught up", true, time.Minute, reconcile.StatusInSync, 4},
		{"not at all", true, 0, reconcile.StatusBehind, 1},
		{"in vain", false, time.Second, reconcile.StatusBehind, 21},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStores(3)
			s.catchesUp = c.catchesUp
			found, err := reconcile.Follow(t.Context(), s, s, []stock.Cell{{SKU: 1}}, c.wait)
			if err != nil || found[0].Status != c.want || len(s.asked) != 2*c.looks {
				t.Errorf("%s: %+v after %d looks, %v", c.name, found[0].Difference, len(s.asked)/2, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s := newStores(3)
		if _, err := reconcile.Follow(ctx, s, s, []stock.Cell{{SKU: 1}}, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cut off: %v", err)
		}
	})
}

func TestShowOfAComparison(t *testing.T) {
	t.Parallel()
	s := newStores(1)
	s.redis.Breached = true
	found, err := reconcile.Read(t.Context(), s, s, []stock.Cell{{SKU: 1}, {SKU: 2, Pool: 7}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		`{"sku_id":"1","shut":"breached","redis":{"sku_id":"1","total":6,"avail":3,"held":2,"sold":1,"hold_ms":60000,"ack":"default",` +
			`"shopper_deducts":false,"planned":false,"frozen":false,"fenced":false,"breached":true,"epoch":1,"seq":9},` +
			`"mysql":{"total":6,"avail":3,"held":2,"sold":1,"safe_stock":4,"warehouse_id":5,` +
			`"last_updated":"2027-01-15T08:00:00.120Z","epoch":1,"seq":8},"status":"behind","events_behind":1}`,
		`{"sku_id":"2","sale_id":"7","redis":null,"mysql":null,"status":"missing"}`,
	} {
		if got, err := json.Marshal(found[i].Show()); err != nil || string(got) != want {
			t.Errorf("%s, %v\nwant %s", got, err, want)
		}
	}
}
