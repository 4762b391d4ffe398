package cli

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/core/local/servicetest"
	"sluice/core/repair"
	"sluice/core/stock"
)

// A node of Redis is away. Steps about its partitions stay pending, and everything else is put right. Of each of its
// partitions one step is tried, and the others are not begun.
func TestRepairGoesOnWithoutANode(t *testing.T) {
	t.Parallel()
	cluster := servicetest.RedisCluster(t)
	const skus = 12
	h := newHandsOn(t, newDeploymentOn(t, cluster.Addrs...), skus)
	defer h.stop()
	lost := h.hand.client.Nodes()[cluster.Addrs[0]]
	away := map[string]bool{}
	for _, addr := range cluster.Addrs {
		node := h.hand.client.Nodes()[addr]
		if err := node.Do(h.ctx, node.B().ConfigSet().ParameterValue().ParameterValue("cluster-require-full-coverage", "no").Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	partitions := map[int]bool{}
	for sku := int64(1); sku <= skus; sku++ {
		cell := stock.Cell{SKU: sku}
		h.del(resOf(cell), string(at(h.held[sku])))
		h.buyer(sku, 2, 4)
		if lost.Do(h.ctx, lost.B().Exists().Key(cellsOf(cell)).Build()).Error() == nil { // else it says who has it
			away[fmt.Sprint(sku)], partitions[cell.Partition(8)] = true, true
		}
	}
	if len(away) == 0 || len(away) == skus {
		t.Fatalf("the node has %d of %d SKUs", len(away), skus)
	}
	desk, plan := h.planned()
	if plan.Does != 2*skus {
		t.Fatalf("%d steps: %+v", plan.Does, plan.Steps)
	}
	desk.Whole = true
	for i := range plan.Steps { // a machine that was killed a minute ago had begun what the node has
		if s := &plan.Steps[i]; away[fmt.Sprint(int64(s.SKU))] {
			h.sql(`INSERT INTO repairs (step_id, round, plan, operator, reason, type, repair, sku_id, pool, bucket, units, direction, expects, does, act, by_persister, claimed_at)
				VALUES (?, 1, '', 'killed', 'x', ?, ?, ?, 0, 0, 1, '', '', '', '{}', FALSE, NOW(3) - INTERVAL 1 MINUTE)`, s.ID[:], string(s.Type), s.Repair, int64(s.SKU))
		}
	}
	if err := cluster.Nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}

	tried := 0
	err := desk.Apply(t.Context(), plan, func(r *repair.Result) {
		want := repair.Done
		if away[fmt.Sprint(int64(r.SKU))] {
			want = repair.Pending
			if !strings.HasPrefix(r.Said, "not begun, because an earlier step failed: ") {
				tried++
			}
		}
		if r.Outcome != want {
			t.Errorf("%s of SKU %d: %s, want %s: %s", r.Repair, int64(r.SKU), r.Outcome, want, r.Said)
		}
	})
	if err != nil {
		t.Error(err)
	}
	if tried != len(partitions) {
		t.Errorf("%d steps of %d partitions were tried", tried, len(partitions))
	}
	if done, open := h.rows("outcome = 'done'"), h.rows("ended_at IS NULL"); done != 2*(skus-len(away)) || open != 2*len(away) {
		t.Errorf("%d rows are done, and %d open", done, open)
	}
	if mine := h.rows("operator = 'me' AND ended_at IS NULL"); mine != tried {
		t.Errorf("%d steps are taken over, and %d were tried", mine, tried)
	}
}

// Kafka is away, and no persister runs. One step waits for each, and the steps after it do not. The counters are put right all the
// same. A relay publishes what was made, and persisters do the rest.
func TestRepairWaitsOnceForKafkaAndPersisters(t *testing.T) {
	t.Parallel()
	const skus, wait = 40, 3 * time.Second
	h := newHands(t, skus)
	for sku := int64(1); sku <= skus; sku++ {
		if sku%2 == 0 {
			h.raise(stock.Cell{SKU: sku}, "10")
		} else {
			h.sql("UPDATE reservations SET state = 'released' WHERE reservation_id = ?", at(h.held[sku]))
		}
	}
	desk, plan := h.planned()
	if plan.Does != skus {
		t.Fatalf("%d steps: %+v", plan.Does, plan.Steps)
	}
	h.stop()
	asked := 0
	desk.Wait = wait
	desk.Publish = func(ctx context.Context, _ []stock.Entry) error {
		asked++
		<-ctx.Done()
		return ctx.Err()
	}
	began := time.Now()
	err := desk.Apply(t.Context(), plan, func(r *repair.Result) {
		want := repair.Pending // of rows, which persisters write
		if r.SKU%2 == 0 {
			want = repair.Done
		}
		if r.Outcome != want || want == repair.Pending && !strings.Contains(r.Said, "is one running?") {
			t.Errorf("%s of SKU %d: %s, want %s: %s", r.Repair, int64(r.SKU), r.Outcome, want, r.Said)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("%d steps took %v", skus, took.Round(time.Millisecond))
	if asked != 1 || took > skus*wait/3 {
		t.Errorf("Kafka was asked %d times, and all took %v", asked, took)
	}
	defer h.persister()()
	h.settled()
	desk.Publish = func(context.Context, []stock.Entry) error { return nil } // relays do it
	if err := desk.Apply(t.Context(), plan, func(r *repair.Result) {
		if r.Outcome != repair.Done {
			t.Errorf("%s of SKU %d with persisters: %s: %s", r.Repair, int64(r.SKU), r.Outcome, r.Said)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
