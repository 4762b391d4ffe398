package command

import "errors"

// Consent has the flags by which a user agrees to a change.
type Consent struct {
	Yes    bool `short:"y" help:"Do not ask."`
	DryRun bool `help:"Show what would change, and change nothing."`
}

// check refuses a command that would have to ask where nobody can answer, before it does anything.
func (g Consent) check(c *Console) error {
	if g.Yes || g.DryRun || c.canAsk() {
		return nil
	}
	return errNobody
}

// ask asks whether to go on, unless that was said already. The answer is what the question is about: a Yes
// would come too fast.
func (g Consent) ask(c *Console, question, answer string) error {
	if g.Yes {
		return nil
	}
	return c.Confirm(question, answer)
}

var errNobody = usage(errors.New("nobody is there to confirm: repeat with --yes, or look first with --dry-run"))
