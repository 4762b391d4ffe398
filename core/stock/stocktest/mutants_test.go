package stocktest_test

// mutant is a bug to seed in the model, as an edit of its source. The old text must occur once.
type mutant struct{ name, file, old, new string }

var mutants = []mutant{
	{"drop the limit check", "step.go", `Owned:      s.owned(buyer{r.Cell, r.User})`, `Owned: -1 << 40`},
	{"do not count units of the limit", "step.go", `s.owned(user) + r.Quantity`, `s.owned(user)`},
	{"keep released units in the limit", "step.go", `max(0, s.owned(user)-r.Quantity)
		r.Counted`, `s.owned(user)
		r.Counted`},
	{"give back what never counted", "step.go", `if r.Counted {`, `if true {`},
	{"count without a limit", "step.go", `Counted: cell.Limit != 0`, `Counted: true`},
	{"released record still counts", "step.go", `r.Counted = false`, ``},
	{"oversell by one", "step.go", `Quantity:   r.Quantity,`, `Quantity: r.Quantity - 1,`},
	{"ignore a full outbox", "step.go", `OutboxFull: s.outboxFull,`, ``},
	{"ask nobody for a registration", "step.go", `Registered: s.registered[registration{r.Cell.Pool, r.User}],`, `Registered: true,`},
	{"take a lost user for a stranger", "step.go", `Whole:      s.isWhole(r.Cell.Pool),`, `Whole: true,`},
	{"take a stranger for a lost user", "step.go", `Whole:      s.isWhole(r.Cell.Pool),`, ``},
	{"whole without users", "partition.go", `known && p.users(sale) >= found`, `known && found >= 0`},
	{"vouch for a set that lacks users", "memstock.go", `there >= users {`, `true {`},
	{"a registration is for all sales", "step.go", `s.registered[registration{r.Cell.Pool, r.User}]`, `len(s.registered) > 0`},
	{"count every registration", "memstock.go", `!p.registered[r] {`, `true {`},
	{"take without a replica", "step.go", `NoReplica:  s.noReplica,`, ``},
	{"ignore the deployment's level", "step.go", `Default:    s.ack,`, ``},

	{
		"no replay check", "step.go",
		"func (s *step) take(op stock.Op, r *stock.Request) stock.Outcome {\n\tbefore := s.reservation(r.ID)",
		"func (s *step) take(op stock.Op, r *stock.Request) stock.Outcome {\n\tbefore := stock.Reservation{}",
	},
	{
		"no replay check of returns", "step.go",
		"func (s *step) giveBackSold(r *stock.Request) stock.Outcome {\n\tcell, before, user := s.cell(r.Cell), s.reservation(r.ID),",
		"func (s *step) giveBackSold(r *stock.Request) stock.Outcome {\n\tcell, before, user := s.cell(r.Cell), stock.Reservation{},",
	},
	{
		"no replay check of adjustments", "step.go",
		`cell, before, a := s.cell(r.Cell), s.reservation(r.ID),`,
		`cell, before, a := s.cell(r.Cell), stock.Reservation{},`,
	},
	{
		"no mismatch", "step.go",
		"before.Repeat(r.Fingerprint); verdict != stock.VerdictOK {\n\t\treturn answer(verdict, before)\n\t}\n\tif verdict := s.judgeTake(",
		"before.Repeat(before.Fingerprint); verdict != stock.VerdictOK {\n\t\treturn answer(verdict, before)\n\t}\n\tif verdict := s.judgeTake(",
	},
	{
		"no mismatch of returns", "step.go",
		"before.Repeat(r.Fingerprint); verdict != stock.VerdictOK {\n\t\treturn answer(verdict, before)\n\t}\n\tif verdict := cell.Return(",
		"before.Repeat(before.Fingerprint); verdict != stock.VerdictOK {\n\t\treturn answer(verdict, before)\n\t}\n\tif verdict := cell.Return(",
	},
	{"blind to earlier records", "step.go", `r, ok := s.reservations[id]; ok {`, `r, ok := s.reservations[id]; ok && false {`},
	{"blind to earlier balances", "step.go", `state, ok := s.cells[c]; ok {`, `state, ok := s.cells[c]; ok && false {`},
	{"blind to earlier buyers", "step.go", `units, ok := s.buyers[b]; ok {`, `units, ok := s.buyers[b]; ok && false {`},

	{"ignore the fence", "step.go", `Fence:      s.seen[r.Cell],`, ``},
	{"fence each request by itself", "step.go", `Fence:      s.seen[r.Cell],`, `Fence: r.Fence,`},
	{"fence by what the last caller has seen", "step.go", `s.seen[r.Cell].Less(r.Fence)`, `true`},
	{"forget that a cell is fenced", "step.go", `cell.Fenced || verdict == stock.VerdictFenced`, `cell.Fenced`},
	{"forget a breach", "step.go", `cell.Breached || verdict == stock.VerdictBreached`, `cell.Breached`},
	{
		"forget a breach that adds up", "step.go",
		`verdict == stock.VerdictBreached`, `verdict == stock.VerdictBreached && !cell.Sound()`,
	},
	{
		"take a freeze for a breach", "step.go",
		`verdict == stock.VerdictBreached`, `verdict == stock.VerdictBreached || verdict == stock.VerdictFrozen`,
	},
	{
		"settle in a shut cell", "step.go",
		`verdict := cell.Settle(before.Quantity);`, `verdict := stock.VerdictOK;`,
	},
	{
		"settle more than is held", "step.go",
		`verdict := cell.Settle(before.Quantity);`, `verdict := cell.Settle(0);`,
	},
	{
		"settle in a cell that is not there", "step.go",
		`verdict := cell.Settle(before.Quantity);`, `verdict := cell.Settle(before.Quantity); cell.Loaded &&`,
	},
	{
		"expire in a shut cell", "step.go",
		`verdict := cell.Settle(r.Quantity);`, `verdict := stock.VerdictOK;`,
	},
	{"expire more than is held", "step.go", `verdict := cell.Settle(r.Quantity);`, `verdict := cell.Settle(0);`},
	{
		"shut cells hold others up", "memstock.go", `if againMS > 0 {`,
		"if againMS > 0 {\n\t\t\twaiting = append(waiting, p.due[i+1:]...)\n\t\t\tp.due = p.due[:0]\n\t\t\tbreak",
	},

	{"settle anyone's", "step.go", `before.Settle(wanted, r.User,`, `before.Settle(wanted, 0,`},
	{"settle after the deadline", "step.go", `before.Settle(wanted, r.User, s.nowMS)`, `before.Settle(wanted, r.User, 0)`},
	{"confirm sells nothing", "step.go", `cell.Sold += before.Quantity`, `cell.Avail += before.Quantity`},
	{"deduct holds", "step.go", `cell.Sold += r.Quantity`, `cell.Held += r.Quantity`},
	{"hold a moment longer", "step.go", `cell.Hold.Milliseconds()`, `cell.Hold.Milliseconds() + 1`},
	{"no deadline kept", "step.go", `s.due = add(s.due, newMember(h.deadlineMS, h.pool, s.held[h]))`, `_ = h`},
	{"extend beyond the bound", "step.go", `before.DeadlineMS = deadlineMS`, `before.DeadlineMS = r.DeadlineMS`},
	{"count the bound from the last deadline", "step.go", `before.ExtendedMS += deadlineMS - before.DeadlineMS`, ``},
	{"remember only the last extension", "step.go", `before.ExtendedMS += deadlineMS`, `before.ExtendedMS = deadlineMS`},
	{"extend anyone's", "step.go", `before.Extend(r.DeadlineMS, r.User,`, `before.Extend(r.DeadlineMS, 0,`},
	{"extend after the deadline", "step.go", `before.Extend(r.DeadlineMS, r.User, s.nowMS)`, `before.Extend(r.DeadlineMS, r.User, 0)`},
	{"extend on a full outbox", "step.go", `cell.Extend(&before, r.DeadlineMS, s.outboxFull)`, `cell.Extend(&before, r.DeadlineMS, false)`},
	{"an extension that stays when it has ended", "step.go", `r.ExtendedMS = 0`, ``},
	{"return what was not sold", "step.go", `cell.Return(r.Quantity, s.outboxFull)`, `cell.Return(0, s.outboxFull)`},
	{"return on a full outbox", "step.go", `cell.Return(r.Quantity, s.outboxFull)`, `cell.Return(r.Quantity, false)`},
	{"return to nowhere", "step.go", `cell.Sold -= r.Quantity
	cell.Avail += r.Quantity`, `cell.Sold -= r.Quantity
	cell.Total -= r.Quantity`},
	{"what is returned still counts", "step.go", `max(0, s.owned(user)-r.Quantity)
	cell.Sold`, `s.owned(user)
	cell.Sold`},
	{"a return owes units", "step.go", `max(0, s.owned(user)-r.Quantity)
	cell.Sold`, `s.owned(user) - r.Quantity
	cell.Sold`},
	{"no reason of a return", "step.go", `event.Change{Reason: r.Reason})
}`, `event.Change{Reason: "none"})
}`},
	{
		"expire what is confirmed", "step.go",
		`case r.State != stock.StateHeld:`, `case r.State == stock.StateReleased:`,
	},
	{"look at what is not due", "memstock.go", `if m.atMS > sweep.TimeMS {`, `if m.atMS > sweep.TimeMS+3_600_000 {`},
	{"expire a moment late", "memstock.go", `if m.atMS > sweep.TimeMS {`, `if m.atMS >= sweep.TimeMS {`},
	{"never more to expire", "memstock.go", `sweep.More = true`, ``},
	{"expire more than the limit", "memstock.go", `sweep.Expired >= limit`, `sweep.Expired >= limit && false`},
	{"no next deadline", "memstock.go", `sweep.NextMS = m.atMS`, ``},

	{"skip a seq", "step.go", `cell.Seq++`, `cell.Seq += 1 + uint64(kind)/uint64(event.KindRelease)`},
	{"repeat a seq", "step.go", `cell.Seq++`, `cell.Seq += 1 - uint64(kind)%2`},
	{"balances before the event", "step.go", `Avail: cell.Avail, Held`, `Avail: cell.Avail + r.Quantity, Held`},
	{"event of another user", "step.go", `Reservation: r.ID, User: r.User,`, `Reservation: r.ID, User: r.User + 1,`},
	{
		"a refusal is written down", "step.go", `return answer(verdict, before)
	}
	if op == stock.OpReserve`, `s.reservations[r.ID] = stock.Reservation{ID: r.ID, State: stock.StateReleased}
		return answer(verdict, before)
	}
	if op == stock.OpReserve`,
	},

	{"a delta beside the total", "step.go", `cell.Total += a.Delta`, `cell.Total += max(a.Delta, 0)`},
	{"settings lost by a delta", "step.go", `cell.With(a.Fields, a.Settings)`, `a.Settings`},
	{
		"half a vector before an error", "memstock.go",
		`v.Outcomes = v.Outcomes[:0]
		return`,
		"step.commit(0)\n\t\tv.Outcomes = v.Outcomes[:0]\n\t\treturn",
	},
	{"forget before its time", "memstock.go", `p.gone[0].atMS <= s.now()`, `p.gone[0].atMS <= s.now()+s.Retention.Milliseconds()`},
	{"never forget", "memstock.go", `delete(p.reservations, id)`, `_ = id`},
	{"forget more than the limit", "memstock.go", ` && forgotten < limit`, ``},

	{"half a basket", "basket.go", `outcomes[i].Verdict = stock.VerdictRefused
		default`, `outcomes[i] = s.hold(&requests[i])
		default`},
	{"take lines of a refused basket", "basket.go", `if verdict := before.Gather(print); verdict != stock.VerdictOK {`, `if verdict := before.Gather(print); verdict == stock.VerdictMismatch {`},
	{"a key for any lines", "basket.go", `if verdict := before.Gather(print); verdict != stock.VerdictOK {`, `if verdict := before.Gather(before.Fingerprint); verdict != stock.VerdictOK {`},
	{"tell of another basket", "basket.go", `if verdict != stock.VerdictMismatch {
		outcomes[0].Basket = b`, `if true {
		outcomes[0].Basket = b`},
	{"a held basket takes lines again", "basket.go", `held := part.Held || before.State == stock.BasketHeld`, `held := false`},
	{"name the last refused line", "basket.go", `if why == stock.VerdictOK && outcomes[i].Verdict.Refused() {`, `if outcomes[i].Verdict.Refused() {`},
	{"held before all lines are", "basket.go", `len(part.Home.Lines) == len(requests), fresh`, `true, fresh`},
	{"a line that has expired is as good", "basket.go", `before.Gather(r.Fingerprint, basketHeld, s.nowMS)`, `before.Gather(r.Fingerprint, basketHeld, 0)`},
	{"nobody knows of begun baskets", "basket.go", `s.begun = append(s.begun, stock.Undecided{Basket: *b, SinceMS: s.nowMS})`, ``},
	{"decided baskets stay undecided", "basket.go", `s.decided = append(s.decided, id)`, ``},
	{"decide again", "basket.go", `verdict := before.Decide(part.Home.Fingerprint, part.To, part.Intact)`, `verdict := stock.BasketRecord{State: min(before.State, stock.BasketBegun), Fingerprint: before.Fingerprint}.Decide(part.Home.Fingerprint, part.To, false)`},
	{"decide by what was gathered before a loss", "basket.go", `before.Decide(part.Home.Fingerprint, part.To, part.Intact)`, `before.Decide(part.Home.Fingerprint, part.To, false)`},
	{"never decide what was lost", "basket.go", `before.Decide(part.Home.Fingerprint, part.To, part.Intact)`, `before.Decide(part.Home.Fingerprint, part.To, true)`},
	{"take a basket whose record was lost for intact", "basket.go", `len(requests), fresh, why`, `len(requests), true, why`},
	{"no basket is intact", "basket.go", `len(requests), fresh, why`, `len(requests), false, why`},
	{"forget which line is refused", "basket.go", `after.Refusal, after.Line = part.Refusal, part.Line`, `after.Refusal = part.Refusal`},
	{"give a held basket back", "basket.go", `if verdict := before.Void(print); verdict != stock.VerdictOK {`, `if verdict := before.Void(print); verdict == stock.VerdictRefused {`},
	{"leave absent lines free", "basket.go", `s.reservations[r.ID] = r.Spent()`, ``},
	{"spent for ever", "basket.go", `s.finished = append(s.finished, r.ID)`, ``},
	{"give lines of other baskets back", "basket.go", `before.Void(r.Fingerprint, s.nowMS)`, `before.Void(before.Fingerprint, s.nowMS)`},
	{"give due lines back", "basket.go", `before.Void(r.Fingerprint, s.nowMS)`, `before.Void(r.Fingerprint, 0)`},
	{"give back from a shut cell", "basket.go", `verdict := cell.Settle(before.Quantity);`, `verdict := stock.VerdictOK;`},
	{"refused while a line is held", "basket.go", `if !stuck {`, `if true {`},
	{"forget undecided baskets", "memstock.go", `if p.baskets[id].State.Decided() {`, `if true {`},
	{"remember baskets for ever", "memstock.go", `if p.baskets[id].State.Decided() {`, `if false {`},
	{"decide young baskets", "basket.go", `u.SinceMS > s.now()-age.Milliseconds()`, `u.SinceMS > s.now()`},
	{"decide all baskets at once", "basket.go", `skip < 0 && len(found) < limit`, `skip < 0`},
}

// unsimulated are mutants that differ from the model where the simulation does not look, or too
// rarely for a test.
var unsimulated = []string{
	"expire more than the limit", "forget before its time", "forget more than the limit",
	"ignore the deployment's level", "give back what never counted", "half a vector before an error", "ignore a full outbox",
	"extend on a full outbox", "return on a full outbox",
	"look at what is not due", "never more to expire", "no next deadline", "settle in a cell that is not there",
	"forget undecided baskets", "decide young baskets", "decide all baskets at once", "give back from a shut cell", "refused while a line is held",
	"give lines of other baskets back", "take a basket whose record was lost for intact",
}

// raced are mutants that an audit after concurrent clients must find: those that sell too much, or
// whose events do not add up.
var raced = []string{
	"drop the limit check", "do not count units of the limit", "oversell by one", "blind to earlier records",
	"blind to earlier balances", "blind to earlier buyers", "confirm sells nothing", "hold a moment longer",
	"skip a seq", "repeat a seq", "balances before the event", "event of another user",
}
