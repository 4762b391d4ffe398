package reconcile_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/reconcile"
)

// shorten has a view walk along its older events page by page, as a reader does, and leaves so many.
func (w *world) shorten(r *closeLook, page, keep int) (walked bool) {
	v := &r.View
	ledger := slices.DeleteFunc(slices.Clone(v.Events), func(e reconcile.Event) bool { return e.Store != reconcile.InLedger })
	slices.SortFunc(ledger, func(a, b reconcile.Event) int { return a.Compare(b.Position) })
	v.Events = slices.DeleteFunc(slices.Clone(v.Events), func(e reconcile.Event) bool { return e.Store == reconcile.InLedger })
	from := v.From
	for some := range slices.Chunk(ledger, page) {
		v.Events = append(v.Events, some...)
		v.Shorten(some[len(some)-1].Position, keep)
	}
	return v.From != from
}

// brief returns a judgement without its proofs.
func brief(j reconcile.Judgement) (lines []string) {
	lines = append(lines, string(j.Class))
	for i := range j.Findings {
		f := &j.Findings[i]
		lines = append(lines, fmt.Sprintf("%s, %d, %s", f.Type, f.Units, f.Direction))
	}
	return lines
}

// A cell with more events than fit into memory is judged as if all of them were there, whatever is wrong with it: what a walk
// along the older ones finds is taken along.
func TestLongHistoriesAreJudgedAlike(t *testing.T) {
	t.Parallel()
	all := map[string]injection{"": func(*world, *closeLook) (int64, reconcile.Direction, bool) { return 0, "", true }}
	for kind, ways := range injections {
		for name, inject := range ways {
			all[string(kind)+" "+name] = inject
		}
	}
	for name, inject := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made := 0
			seeds(t, 100, func(t *testing.T, seed uint64) {
				t.Helper()
				w := newWorldOf(t, seed, 2+int(seed%80), name == "" && seed%2 == 0)
				r := w.read(seed%3 == 0)
				if _, _, ok := inject(w, r); !ok || r.Redis == nil {
					return
				}
				want := w.judge(r)
				if !w.shorten(r, 1+w.IntN(20), 1+w.IntN(5)) {
					return
				}
				made++
				got := w.judge(r)
				if r.Cropped() { // nobody knows who has taken or returned units since the cut
					want.Findings = slices.DeleteFunc(want.Findings, func(f reconcile.Finding) bool { return f.Type == reconcile.BuyerCount })
					want.Class, got.Class = "", ""
				}
				if diff := cmp.Diff(brief(want), brief(got)); diff != "" || got.Behind != want.Behind {
					t.Errorf("%d events under way, were %d: %s\n%+v", got.Behind, want.Behind, diff, got.Findings)
				}
			})
			if made < 5 && name != string(reconcile.LostTail)+" Redis has no such cell" {
				t.Errorf("made %d times only", made)
			}
		})
	}
}
