package command

import (
	"context"
	"fmt"
	"strconv"

	"sluice/core/reconcile"
)

// driftNamed is how many findings an examination names.
const driftNamed = 10

// drift compares all stores, as reconcile does. A finding that does not hamper a sale is a warning.
func (d *Doctor) drift(ctx context.Context, e *examination) {
	const about = "reconciliation"
	o, _, err := d.openToCompare(ctx)
	if err != nil {
		e.warn(about, "not done, because something above fails", "repair that first")
		return
	}
	defer o.Close() //nolint:errcheck // nothing was written
	report, err := o.sweeper(d.Kafka).Sweep(ctx, reconcile.Scope{})
	if err != nil {
		e.warn(about, "not finished: "+err.Error(), "run sluice reconcile, which takes all the time that it needs")
		return
	}
	s := &report.Summary
	for _, u := range s.Unread {
		e.warn(about, unreadText(u), "see whether it answers, and run sluice reconcile")
	}
	named := 0
	for i := range report.Findings {
		f := &report.Findings[i]
		if f.Type == reconcile.DeadLetter { // deadLetters reports it
			continue
		}
		if named++; named > driftNamed {
			e.warn(about, number(s.Findings)+" findings in all", "see sluice reconcile")
			break
		}
		found := fmt.Sprintf("%s: %s units, %s", f.Type, number(f.Units), f.Direction)
		do := "see sluice reconcile --sku " + strconv.FormatInt(int64(f.SKU), 10) + ", and docs/reconcile.md"
		if f.Direction == reconcile.Bookkeeping {
			e.warn(findingTitle(f), found, do)
		} else {
			e.fail(findingTitle(f), found, do)
		}
	}
	for i := range report.Users {
		if i == driftNamed {
			e.warn(about, "sluice reconcile lists "+number(int64(len(report.Users)))+" differences of registered users", "see sluice reconcile")
			break
		}
		u := &report.Users[i]
		e.fail(fmt.Sprintf("registered users of sale %d", int64(u.Sale)), u.Says(), u.Do())
	}
	if s.Verdict == reconcile.Clean {
		e.ok(about, "Redis, MySQL and Kafka have the same of %s cells; events under way explain what differs in %s of them", number(s.Cells), number(s.InFlight))
	}
}
