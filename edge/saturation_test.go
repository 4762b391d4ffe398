package edge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// atOnce is how many shoppers buy one after the other without a rest, for each SKU: more than an edge can serve at once here.
const atOnce = 24

// TestOthersSellOnAtSaturation runs more shoppers than an edge can serve, and brings one node of a cluster into trouble
// again and again. The SKUs of the other nodes sell as fast in the trouble as before and after it. The rate depends on
// the load of the machine, so it is compared with a second edge that sells from a healthy cluster at the same time.
func TestOthersSellOnAtSaturation(t *testing.T) {
	t.Parallel()
	const rounds, roundsMax, window = 5, 20, 700 * time.Millisecond
	untroubled, theirs := overCluster(t, servicetest.RedisCluster(t))
	control := untroubled.buyAtOnce(atOnce*len(theirs), 0, theirs...)
	control.may = append(control.may, "outcome_unknown") // where the machine stands still for a moment
	share := func(b *buyers, others []int64) float64 {   // of all that is sold
		before := control.acknowledged.Load()
		rate := b.speed(window, others...).rate
		return rate * window.Seconds() / float64(control.acknowledged.Load()-before)
	}
	for _, o := range []struct {
		name   string
		breaks bool // the breaker of the node opens
		strike func(t *testing.T, s *stack, cluster *local.RedisCluster, slot int) (heal func())
	}{
		{
			name: "a node hangs", breaks: true,
			strike: func(t *testing.T, _ *stack, cluster *local.RedisCluster, _ int) func() {
				return stopped(t, cluster.Nodes[0].PID())
			},
		},
		{
			name: "a node is down", breaks: true,
			strike: func(t *testing.T, _ *stack, cluster *local.RedisCluster, _ int) func() {
				if err := cluster.Nodes[0].Kill(); err != nil {
					t.Fatal(err)
				}
				return func() {
					if err := cluster.Nodes[0].Restart(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			},
		},
		{
			name: "a slot moves",
			strike: func(t *testing.T, s *stack, cluster *local.RedisCluster, slot int) func() {
				m := move{t, s.redis(), cluster, slot}
				m.begin(0, 1)
				return func() {
					m.on(0, "CLUSTER", "SETSLOT", fmt.Sprint(slot), "STABLE")
					m.on(1, "CLUSTER", "SETSLOT", fmt.Sprint(slot), "STABLE")
				}
			},
		},
	} {
		t.Run(o.name, func(t *testing.T) {
			cluster := servicetest.RedisCluster(t)
			s, skus := overCluster(t, cluster)
			b := s.buyAtOnce(atOnce*len(skus), 0, skus...)
			b.may = append(b.may, "outcome_unknown")
			others, slot := skus[1:], int(slotOf(s.redis(), skus[0]))
			all := b.goodput(time.Second)
			var ratios []float64
			for median := 0.0; len(ratios) < rounds || median < 0.9; median = ratios[len(ratios)/2] {
				if len(ratios) == roundsMax {
					t.Fatalf("in trouble the others sell %.2f times as fast as without, want 0.9", ratios)
				}
				before := share(b, others)
				heal := o.strike(t, s, cluster, slot)
				if o.breaks {
					s.until(20*time.Second, "the breaker of the node is open", func() bool { return s.breakerOpen(cluster.Addrs[0]) })
				}
				struck := share(b, others)
				heal()
				b.comesBack(all / 4)
				ratios = append(ratios, 2*struck/(before+share(b, others)))
				slices.Sort(ratios)
			}
			t.Logf("in trouble the others sell so many times as fast: %.2f", ratios)
			b.end(skus...)
		})
	}
	control.end(theirs...)
}

// breakerOpen tells whether the edge refuses the requests for a node at once.
func (s *stack) breakerOpen(addr string) bool {
	_, page := s.ops("/metrics")
	return strings.Contains(page, fmt.Sprintf(`sluice_edge_breaker_state_info{node=%q,state="open"} 1`, addr))
}
