package truth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/bench/load"
	"sluice/bench/report"
	"sluice/bench/stack"
	"sluice/bench/truth"
	"sluice/core/event"
	"sluice/core/evidence"
	"sluice/core/ledger"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// Units before the run and of other SKUs do not count, and what came back does not count twice.
func TestStockIsJudgedByWhatShoppersWereTold(t *testing.T) {
	t.Parallel()
	s := stack.New(t)
	s.LoadCSV("sku_id,quantity", "1,100", "2,100", "3,100")
	edge, persister := s.StartEdge(), s.StartPersister()
	if err := s.Store.Adopt(t.Context(), evidence.NewNonces(s.DB)); err != nil {
		t.Fatal(err)
	}
	cells := []stock.Cell{{SKU: 1}, {SKU: 2}}
	noTail := func(context.Context, func(*event.Batch) error) error { return nil }
	judge := func() *truth.Judge {
		j := &truth.Judge{
			Redis: s.Store, Cells: cells, CatchUp: time.Minute,
			Adopt:   func(ctx context.Context) error { return s.Store.Adopt(ctx, evidence.NewNonces(s.DB)) },
			Sweeper: &reconcile.Sweeper{Redis: s.Store, Books: ledger.New(s.DB, nil), Tail: noTail, Now: time.Now},
		}
		if err := j.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		return j
	}
	conn, err := load.Dial(edge.Addr(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	n := 0
	buy := func(sku int64) string {
		t.Helper()
		n++
		answer, err := conn.Do(load.AppendPost(nil, "/v1/reservations", s.Token(1, "shopper"), fmt.Sprint("truth-", n), load.ReserveBody(sku, 1)))
		if err != nil || answer.Status != 201 {
			t.Fatalf("%v, %+v", err, answer)
		}
		return strings.Split(string(answer.Body), `"`)[3]
	}
	buy(1) // before the run
	j := judge()
	buy(1)
	release := buy(1)
	buy(2)
	buy(3) // nobody's of the run
	if a, err := conn.Do(load.AppendPost(nil, "/v1/reservations/"+release+"/release", s.Token(1, "shopper"), "truth-release", "")); err != nil || a.Status != 200 {
		t.Fatalf("%v, %+v", err, a)
	}
	want := func(j *truth.Judge, verdict report.Verdict, reason string, units ...load.Units) report.Truth {
		t.Helper()
		got := j.End(t.Context(), units)
		if got.Verdict != verdict || !strings.Contains(strings.Join(got.Reasons, "\n"), reason) {
			t.Errorf("%+v, want %s: %s", got, verdict, reason)
		}
		return got
	}
	right := want(j, report.Right, "", load.Units{Accepted: 2}, load.Units{Accepted: 1})
	if right.RedisUnits == nil || right.MySQLUnits == nil || *right.RedisUnits != 3 || *right.MySQLUnits != 3 || right.AcceptedUnits != 3 {
		t.Errorf("%+v, want 3 units everywhere", right)
	}
	j.Apart = 1
	apart := want(j, report.Right, "", load.Units{Accepted: 2}, load.Units{Accepted: 1})
	if *apart.RedisUnits != 2 || *apart.MySQLUnits != 2 || apart.AcceptedUnits != 2 {
		t.Errorf("%+v, want the 2 units of the first SKU everywhere", apart)
	}
	want(j, report.Wrong, "SKU 2: 1 units were given away, where shoppers were told of 0", load.Units{Accepted: 2}, load.Units{})
	j.Apart = 0
	want(j, report.Right, "", load.Units{Unknown: 5}, load.Units{Accepted: 1, Unknown: 1})
	want(j, report.Wrong, "SKU 1: 2 units were given away, where shoppers were told of 3", load.Units{Accepted: 3}, load.Units{Accepted: 1})
	want(j, report.Wrong, "SKU 2: 1 units were given away, where shoppers were told of 0", load.Units{Accepted: 2}, load.Units{})

	if _, err := s.DB.ExecContext(t.Context(), "UPDATE product_inventories SET available_stock = available_stock - 1, total_stock = total_stock - 1 WHERE sku_id = 2"); err != nil {
		t.Fatal(err)
	}
	want(j, report.Wrong, "projection_stale", load.Units{Accepted: 2}, load.Units{Accepted: 1})
	if _, err := s.DB.ExecContext(t.Context(), "UPDATE product_inventories SET available_stock = available_stock + 1, total_stock = total_stock + 1 WHERE sku_id = 2"); err != nil {
		t.Fatal(err)
	}
	want(j, report.Right, "", load.Units{Accepted: 2}, load.Units{Accepted: 1})

	// Redis' clock stepped back by an hour after the run began. What it has sold since then is of the run all the same.
	if _, err := s.DB.ExecContext(t.Context(), "UPDATE ledger SET redis_ms = redis_ms - 3600000 WHERE sku_id = 1 AND seq > 2"); err != nil {
		t.Fatal(err)
	}
	want(j, report.Right, "", load.Units{Accepted: 2}, load.Units{Accepted: 1})

	// Redis restarted, and the edge has vetted it anew.
	if err := s.Redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(j, report.Right, "", load.Units{Accepted: 2}, load.Units{Accepted: 1})

	j.Sweeper.Tail = func(context.Context, func(*event.Batch) error) error { return errors.New("kafka is away") }
	want(j, report.Unverified, "kafka is away", load.Units{Accepted: 2}, load.Units{Accepted: 1})
	j.Sweeper.Tail = noTail

	if err := persister.Stop(); err != nil {
		t.Fatal(err)
	}
	buy(1)
	j.CatchUp = 2 * time.Second
	want(j, report.Unverified, "MySQL did not catch up within 2s", load.Units{Accepted: 3}, load.Units{Accepted: 1})
}
