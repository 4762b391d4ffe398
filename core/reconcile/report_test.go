package reconcile

import "testing"

// A report is whole only if everything was verified and no step was left out: only then has what it lacks been put right.
func TestReportsAreWhole(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(r *Report){
		"a cell was not verified":      func(r *Report) { r.count(Unverified, 1) },
		"a store was not read":         func(r *Report) { r.Summary.Unread = append(r.Summary.Unread, Unread{Store: InRedis}) },
		"something cannot be verified": func(r *Report) { r.add(Finding{Type: Unverifiable}) },
		"a cell has too many steps":    func(r *Report) { r.plan(make([]RepairStep, stepsOfCellMax)...) },
		"there was no room for a step": func(r *Report) { r.Steps = make([]RepairStep, stepsPlannedMax); r.plan(RepairStep{}) },
	} {
		r := newReport()
		r.count(Drift, 1)
		r.add(Finding{Type: CounterEdit})
		r.plan(RepairStep{})
		if !r.Whole() {
			t.Error("not whole, and it is")
		}
		if change(r); r.Whole() {
			t.Errorf("whole, though %s", name)
		}
	}
}
