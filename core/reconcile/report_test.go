package reconcile

import (
	"errors"
	"slices"
	"testing"
	"time"
)

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

// What could not be read for the same reason is one entry with its partitions. An error of a whole store names none.
func TestUnreadHasPartitions(t *testing.T) {
	t.Parallel()
	r := newReport()
	for _, partition := range []int{-1, 3, -1, 5} {
		r.unread(InRedis, partition, time.UnixMilli(int64(7+partition)), errors.New("no answer"))
	}
	r.unread(InLedger, -1, time.UnixMilli(9), errors.New("no answer"))
	r.unread(InLedger, -1, time.UnixMilli(10), errors.New("no answer"))
	got := r.Summary.Unread
	if len(got) != 2 || !slices.Equal(got[0].Partitions, []int{3, 5}) || got[0].Since != 6 || got[1].Partitions != nil || got[1].Since != 9 {
		t.Errorf("%+v", got)
	}
}

// The first failure of a partition gives it up. The report does not name it again for a later one.
func TestPartitionFailsOnce(t *testing.T) {
	t.Parallel()
	p := newPartition(&sweep{Sweeper: &Sweeper{Now: time.Now}, report: newReport(), failed: map[Store]bool{}}, 3)
	for _, err := range []error{nil, fromRedis(errors.New("no answer")), errors.New("gone away"), fromRedis(errors.New("no answer"))} {
		p.fail(err)
	}
	if got := p.report.Summary.Unread; !p.failed || len(got) != 1 || got[0].Store != InRedis || !slices.Equal(got[0].Partitions, []int{3}) {
		t.Errorf("%+v", got)
	}
}
