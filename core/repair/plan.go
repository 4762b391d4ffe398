// Package repair puts right what a reconciliation has found. A plan has the steps of the findings. Each step says what
// it expects and what it does. The desk carries a plan out step by step. A step that no longer fits is refused, and the
// others go on. The table of repairs has a row for each step. The first process that inserts it does the step.
package repair

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"sluice/core/reconcile"
	"sluice/core/show"
)

// Plan has the steps that put right what a sweep has found.
type Plan struct {
	Digest Digest                 `json:"digest"` // of the deployment and the steps: equal plans have equal digests
	MadeAt show.Moment            `json:"made_at"`
	Units  int64                  `json:"units"` // units of the steps that are done
	Does   int                    `json:"does"`  // number of steps that are done; the others are refused
	Steps  []reconcile.RepairStep `json:"steps"`
}

// Digest names a plan.
type Digest [sha256.Size]byte

// String is the digest as 64 lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// NewPlan makes a plan from the findings of a sweep of a deployment. The sweep began after madeAt, by MySQL's clock. The digest
// contains the deployment's name, so that nobody carries out what was approved for another one.
func NewPlan(deployment string, report *reconcile.Report, madeAt show.Moment) *Plan {
	p := &Plan{MadeAt: madeAt, Steps: slices.Clone(report.Steps)}
	if p.Steps == nil {
		p.Steps = []reconcile.RepairStep{}
	}
	order(p.Steps)
	sum := sha256.New()
	name := sha256.Sum256([]byte(deployment))
	_, _ = sum.Write(name[:]) // a hash's Write never fails
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Refused == "" {
			p.Units += s.Units
			p.Does++
			_, _ = sum.Write(s.ID[:])
		}
	}
	p.Digest = Digest(sum.Sum(nil))
	return p
}

// order sorts the steps. First come those that keep units from being sold twice, then those about MySQL, and last those
// that give units back.
func order(steps []reconcile.RepairStep) {
	rank := map[reconcile.Direction]int{reconcile.Oversell: 0, reconcile.Bookkeeping: 1, reconcile.Undersell: 2}
	slices.SortFunc(steps, func(a, b reconcile.RepairStep) int {
		return cmp.Or(cmp.Compare(rank[a.Direction], rank[b.Direction]), a.Cell().Compare(b.Cell()),
			cmp.Compare(slices.Index(reconcile.Types, a.Type), slices.Index(reconcile.Types, b.Type)),
			slices.Compare(a.ID[:], b.ID[:]))
	})
}
