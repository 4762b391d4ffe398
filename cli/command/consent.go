package command

import (
	"context"
	"errors"
)

// Consent has the flags by which a user agrees to a change.
type Consent struct {
	Yes    bool `short:"y" help:"Do not ask."`
	DryRun bool `help:"Show what would change, and change nothing."`
}

// check refuses a command, before it does anything, if it would have to ask and nobody can answer.
func (g Consent) check(c *Console) error {
	if g.Yes || g.DryRun || c.canAsk() {
		return nil
	}
	return errNobody
}

// ask asks whether to go on, unless the user has said so already. The answer to type is the subject of the question,
// because a yes would come too fast.
func (g Consent) ask(ctx context.Context, c *Console, question, answer string) error {
	if g.Yes {
		return nil
	}
	return c.Confirm(ctx, question, answer)
}

var errNobody = usage(errors.New("nobody is there to confirm: repeat with --yes, or look first with --dry-run"))
