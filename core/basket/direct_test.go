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
			v.Outcomes[0].Verdict = stock.VerdictOK
		}
	}
}

// Callers that ask a store directly do not know the levels of cells. They ask again with a replica for a line that
// needs one.
func TestDirectAsksForAReplica(t *testing.T) {
	t.Parallel()
	s := &replicated{}
	ask := Direct(t.Context(), s, func(stock.Entry) {})
	answers := ask([]Call{{Op: stock.OpGather, Requests: make([]stock.Request, 1)}})
	if answers[0].Outcomes[0].Verdict != stock.VerdictOK || !slices.Equal(s.asked, []bool{false, true}) {
		t.Errorf("%+v after calls with a replica: %v", answers[0], s.asked)
	}
}
