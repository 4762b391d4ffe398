package repair

import (
	"slices"
	"strings"
	"testing"

	"sluice/core/ledger"
	"sluice/core/reconcile"
)

// A digest names the steps that are done, of one deployment: an approval approves nothing else.
func TestDigestNamesWhatIsDone(t *testing.T) {
	t.Parallel()
	step := func(id byte, way reconcile.Direction) reconcile.RepairStep {
		return reconcile.RepairStep{ID: [32]byte{id}, SKU: 1, Units: int64(id), Direction: way}
	}
	steps := []reconcile.RepairStep{
		step(1, reconcile.Undersell), step(2, reconcile.Bookkeeping), step(3, reconcile.Oversell), step(4, reconcile.Undersell),
	}
	steps[3].Refused = "why"
	plan := NewPlan("a", &reconcile.Report{Steps: steps}, 7)
	if plan.Units != 6 || plan.Does != 3 || plan.MadeAt != 7 {
		t.Errorf("%+v", plan)
	}
	var order []byte
	for i := range plan.Steps {
		order = append(order, plan.Steps[i].ID[0])
	}
	if !slices.Equal(order, []byte{3, 2, 1, 4}) {
		t.Errorf("in the order %v: first what keeps units from being sold twice, then the books", order)
	}
	turned := slices.Clone(steps)
	slices.Reverse(turned)
	if again := NewPlan("a", &reconcile.Report{Steps: turned}, 8); again.Digest != plan.Digest {
		t.Error("the same steps have another digest")
	}
	for name, other := range map[string]*Plan{
		"another deployment's": NewPlan("b", &reconcile.Report{Steps: steps}, 7),
		"with a step less":     NewPlan("a", &reconcile.Report{Steps: steps[1:]}, 7),
		"with a step more":     NewPlan("a", &reconcile.Report{Steps: append(slices.Clone(steps), step(5, reconcile.Undersell))}, 7),
	} {
		if other.Digest == plan.Digest {
			t.Errorf("a plan %s has the same digest", name)
		}
	}
	if none := NewPlan("a", &reconcile.Report{}, 7); none.Steps == nil {
		t.Error("a plan without steps has no list of them")
	}
}

// An approval of another plan is not used, and nothing is done.
func TestApprovalOfAnotherPlan(t *testing.T) {
	t.Parallel()
	plan := NewPlan("a", &reconcile.Report{Steps: []reconcile.RepairStep{{ID: [32]byte{1}, SKU: 1, Units: 1}}}, 7)
	other := NewPlan("b", &reconcile.Report{Steps: plan.Steps}, 7)
	d := Desk{Approval: &ledger.Approval{Plan: other.Digest}} // without stores: it must ask none
	err := d.Apply(t.Context(), plan, func(r *Result) { t.Errorf("told of %+v", r) })
	if err == nil || !strings.Contains(err.Error(), "of another plan") {
		t.Errorf("error %v", err)
	}
}
