package basket

import (
	"context"
	"slices"
	"testing"

	"sluice/core/stock"
)

// replicated is a store whose cells are of the level replica.
type replicated struct {
	Store
	asked []bool
}

func (r *replicated) Do(_ context.Context, vectors ...*stock.Vector) {
	for _, v := range vectors {
		r.asked = append(r.asked, v.Replicate)
		v.Outcomes = []stock.Outcome{{Verdict: stock.VerdictReplicaMissing}}
		if v.Replicate {
			v.Outcomes[0].Verdict, v.Entry.ID = stock.VerdictOK, "1-0"
		}
	}
}

// Callers that ask a store directly do not know the levels of cells. They ask again with a replica for a line that
// needs one.
func TestDirectAsksForAReplica(t *testing.T) {
	t.Parallel()
	s := &replicated{}
	published := 0
	ask := Direct(t.Context(), s, func(stock.Entry) { published++ })
	answers := ask([]Call{{Op: stock.OpGather, Requests: make([]stock.Request, 1)}})
	if answers[0].Outcomes[0].Verdict != stock.VerdictOK || !slices.Equal(s.asked, []bool{false, true}) || published != 1 {
		t.Errorf("%+v after calls with a replica: %v, and %d entries", answers[0], s.asked, published)
	}
}
