package account

// Stop calls back before some steps.
func (a *Accounts) Stop(before func(step string)) { a.step = before }

// SelectPending finds the claims that a sweep settles.
const SelectPending = selectPending
