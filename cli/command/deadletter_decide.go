package command

import (
	"cmp"
	"context"
	"fmt"
	"os/user"
	"strings"
	"time"

	"sluice/core/config"
	"sluice/core/ledger"
	"sluice/core/operate"
)

// letterDecision has the flags of all commands that decide about a dead letter.
type letterDecision struct {
	Books   `embed:""`
	Output  `embed:""`
	Consent `embed:""`

	ID     string `arg:"" name:"id" help:"Id of the dead letter: 64 hexadecimal digits."`
	Reason string `required:"" placeholder:"TEXT" help:"Why. It is kept with the letter."`
	By     string `placeholder:"NAME" help:"Who decides. Defaults to the name of the user who runs this."`
}

// Validate joins all faults.
func (d *letterDecision) Validate() error {
	var f config.Faults
	f.Include(d.Books.Validate())
	checkReason(&f, d.Reason)
	return f.Err()
}

// decidedLetter is the result of a decision.
type decidedLetter struct {
	Result string `json:"result"` // ok, replayed (it was decided before), dry_run, refused or pending
	// Changed is true if the command changed anything. In a dry run it is true if the command would.
	Changed bool          `json:"changed"`
	Letter  ledger.Letter `json:"letter"`
}

func (d *letterDecision) show(c *Console, l ledger.Letter, result string, changed bool, said string) error {
	if d.json() {
		return c.JSON(decidedLetter{result, changed, l})
	}
	c.Printf("dead letter %s: %s\n", l.ID.String(), said)
	return nil
}

// decide asks, and carries the decision out. question says what that does, and whether it changes anything. A dry run
// does not call do.
func (d *letterDecision) decide(ctx context.Context, c *Console, question func(*ledger.LetterContent) (what string, changes bool, err error),
	do func(*ledger.Reader, ledger.LetterID, ledger.Decision) error,
) error {
	id, err := ledger.ParseLetterID(d.ID)
	if err != nil {
		return bookError(err)
	}
	if err := d.check(c); err != nil {
		return err
	}
	return d.read(ctx, func(books *ledger.Reader) error {
		now, err := books.Letter(ctx, id)
		if err != nil {
			return err
		}
		if now.ResolvedAt != 0 {
			return d.show(c, now.Letter, "replayed", false, fmt.Sprintf("resolved already, %s by %s: %s", momentText(now.ResolvedAt), now.ResolvedBy, now.Resolution))
		}
		what, changes, err := question(&now)
		if err != nil {
			return err
		}
		if d.DryRun {
			return d.show(c, now.Letter, "dry_run", changes, "it "+what+" (dry run: nothing was changed)")
		}
		if err := d.ask(ctx, c, fmt.Sprintf("Dead letter %v, %s (%s): it %s", id, now.Reason, now.Detail, what), d.ID[:8]); err != nil {
			return err
		}
		return do(books, id, ledger.Decision{By: decider(d.By), Reason: d.Reason})
	})
}

// decider is who decides: the name that was given, or that of the user who runs this.
func decider(by string) string {
	if me, err := user.Current(); by == "" && err == nil {
		return me.Username
	}
	return by
}

// DeadLetterResolve marks a dead letter as dealt with.
type DeadLetterResolve struct {
	letterDecision `embed:""`
}

// Help is called by kong.
func (DeadLetterResolve) Help() string {
	return `Marks a dead letter as dealt with, whatever was done. From then on edges open a Redis that lacks the event of the letter,
and the marks of its SKU move past it. A fork keeps the partition of its SKU shut until then: Redis had lost an event and
went on, so count the SKU first. Edges open a partition within half a minute. The letter stays in the table.

Examples:
  sluice deadletter resolve 3b0c...8550 --reason "counted by hand, see ticket 4711" --dry-run
  sluice deadletter resolve 3b0c...8550 --reason "counted by hand, see ticket 4711" --yes`
}

// Run is called by kong.
func (d *DeadLetterResolve) Run(ctx context.Context, c *Console) error {
	return d.decide(ctx, c, func(l *ledger.LetterContent) (string, bool, error) {
		if l.Evidence && l.Reason == ledger.ReasonFork {
			return "would be resolved; its SKU may then be sold again, by the counters that Redis has", true, nil
		}
		if l.Evidence {
			return "would be resolved; a Redis that lacks its event may then open, and sell those units again", true, nil
		}
		return "would be resolved", true, nil
	}, func(books *ledger.Reader, id ledger.LetterID, decision ledger.Decision) error {
		l, already, err := books.Resolve(ctx, id, decision)
		if err != nil {
			return err
		}
		result := "ok"
		if already {
			result = "replayed"
		}
		return d.show(c, l, result, !already, "resolved by "+l.ResolvedBy+": "+l.Resolution)
	})
}

// DeadLetterReplay has persisters apply a dead letter again.
type DeadLetterReplay struct {
	letterDecision `embed:""`

	Wait time.Duration `default:"15s" placeholder:"DURATION" between:"0s-1h" help:"How long to wait until a persister has done it."`
}

// Help is called by kong.
func (DeadLetterReplay) Help() string {
	return `Asks the persisters to apply a dead letter again, as if it came from Kafka now. Do so when the persisters have a newer
program that can read it, or when somebody has mended what refused it. A letter that is applied is resolved too. One
that cannot be applied stays as it is, and says why. Forks and broken chains are never applied again: another event
has the place of a fork, and the event of a broken chain is in the ledger. Repeating the command does no harm.

Examples:
  sluice deadletter replay 3b0c...8550 --reason "the persisters run 1.4 now" --dry-run
  sluice deadletter replay 3b0c...8550 --reason "the persisters run 1.4 now" --yes`
}

// Run is called by kong.
func (d *DeadLetterReplay) Run(ctx context.Context, c *Console) error {
	return d.decide(ctx, c, foreseeReplay, func(books *ledger.Reader, id ledger.LetterID, decision ledger.Decision) error {
		l, already, err := books.AskReplay(ctx, id, decision)
		if err != nil {
			return err
		}
		if l, err = operate.AwaitReplay(ctx, books, l, d.Wait); err != nil {
			return err
		}
		switch {
		case l.ResolvedAt != 0:
			return d.show(c, l, "ok", !already, l.Resolution)
		case l.ReplayAskedAt != 0:
			err = d.show(c, l, "pending", !already, "no persister has done it yet: see sluice deadletter show")
			return cmp.Or(err, fmt.Errorf("after %v no persister has applied it: is one running?", d.Wait))
		}
		err = d.show(c, l, "refused", false, "not applied again: "+l.ReplayRefusal)
		return cmp.Or(err, refused(fmt.Errorf("dead letter %v cannot be applied: nothing was changed", id)))
	})
}

// foreseeReplay says what a replay would do, as far as this program can tell, and whether this is the first request
// for it.
func foreseeReplay(l *ledger.LetterContent) (what string, changes bool, err error) {
	replay, err := operate.ForeseeReplay(l)
	first := l.ReplayAskedAt == 0
	switch {
	case err != nil:
		return "", false, err
	case replay.Unread != "":
		return "cannot be read by this program either (" + replay.Unread + "); a newer persister may", first, nil
	case len(replay.Faults) > 0:
		return "would not be applied by this program: " + strings.Join(replay.Faults, "; "), first, nil
	}
	return fmt.Sprintf("has %d events: those that the ledger lacks would be applied", replay.Events), first, nil
}
