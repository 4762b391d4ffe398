package stock

// Sound reports whether the counters add up and none is negative. Scripts shut a cell that is not sound, because nobody
// knows how many units of it are free.
func (b Balances) Sound() bool {
	return b.Avail >= 0 && b.Held >= 0 && b.Sold >= 0 && b.Avail+b.Held+b.Sold == b.Total
}

// Breach reports whether the counters are wrong: they are not sound, or Held is less than the units of one held
// reservation.
func (b Balances) Breach(held int64) bool { return !b.Sound() || b.Held < held }

// HasRoom reports whether units can be added to a cell without passing UnitsMax. Callers check this, scripts do not.
func (b Balances) HasRoom(units int64) bool { return units <= UnitsMax-b.Total }

// NeverSells reports whether a cell closes before it opens.
func (s Settings) NeverSells() bool { return s.ClosesAtMS != 0 && s.ClosesAtMS <= s.OpensAtMS }

// OverAt reports whether a cell has closed at a Redis time.
func (s Settings) OverAt(nowMS int64) bool { return s.ClosesAtMS != 0 && s.ClosesAtMS <= nowMS }

// Shut returns the reason why nothing may happen to a loaded cell, or VerdictOK. A frozen cell is not shut: it does not
// sell, but confirm, release and expiry go on.
func (c CellState) Shut() Verdict {
	switch {
	case c.Fenced:
		return VerdictFenced
	case c.Breached || !c.Sound():
		return VerdictBreached
	}
	return VerdictOK
}

// Taking is the input of Take that is not in the cell.
type Taking struct {
	Quantity   int64
	Owned      int64    // counted units that the user holds and owns already
	Fence      Position // the highest position of the cell that the caller has seen
	NowMS      int64
	Registered bool // the user is registered for the sale of the cell
	Whole      bool // all users are known who are registered for it
	OutboxFull bool
	NoReplica  bool // no replica will prove that it has the effect: the caller does not wait for one, or there is none
	Default    Ack  // the deployment's level
}

// Take decides a reserve or deduct whose id is new. The order of the refusals is part of the contract: the cell is
// missing; the user is not registered; the cell is shut; it is frozen or outside its window; the outbox is full or no
// replica keeps up; the user may be registered; the limit and the units. Registration comes before shut, because edges
// answer it from a filter and do not know whether the cell is shut.
func (c CellState) Take(t Taking) Verdict {
	switch {
	case !c.Loaded && t.Fence != Position{}:
		return VerdictFenced
	case !c.Loaded:
		return VerdictNotLoaded
	case c.RegisteredOnly && !t.Registered && t.Whole:
		return VerdictNotRegistered
	case c.Less(t.Fence):
		return VerdictFenced
	case c.Shut() != VerdictOK:
		return c.Shut()
	case c.Frozen:
		return VerdictFrozen
	case t.NowMS < c.OpensAtMS:
		return VerdictNotOpen
	case c.ClosesAtMS != 0 && t.NowMS >= c.ClosesAtMS:
		return VerdictClosed
	case t.OutboxFull:
		return VerdictBackpressure
	case t.NoReplica && c.Ack.Or(t.Default) == AckReplica:
		return VerdictReplicaMissing
	case c.RegisteredOnly && !t.Registered:
		return VerdictUsersMissing
	case c.Limit != 0 && t.Owned+t.Quantity > c.Limit:
		return VerdictLimitReached
	case c.Avail < t.Quantity:
		return VerdictSoldOut
	}
	return VerdictOK
}

// Settle decides whether a user may confirm or release the reservation. It looks at the reservation only. User 0 stands
// for a service, which may settle the reservations of all users.
func (r Reservation) Settle(wanted State, user, nowMS int64) Verdict {
	switch {
	case r.State == StateNone:
		return VerdictUnknownReservation
	case user != 0 && user != r.User:
		return VerdictWrongUser
	case r.State == wanted:
		return VerdictReplayed
	case r.StateAt(nowMS) != StateHeld:
		return VerdictWrongState
	}
	return VerdictOK
}

// Extend decides whether a user may move the deadline of the reservation. It looks at the reservation only. User 0
// stands for a service. A deadline never moves back: if the present one is late enough, the verdict is VerdictReplayed.
func (r Reservation) Extend(deadlineMS, user, nowMS int64) Verdict {
	if verdict := r.Settle(StateNone, user, nowMS); verdict != VerdictOK {
		return verdict
	}
	if deadlineMS <= r.DeadlineMS {
		return VerdictReplayed
	}
	return VerdictOK
}

// Extend decides whether the deadline of a held reservation of the cell moves, and returns the new deadline. That is at
// most ExtendMax after the first deadline, even if deadlineMS is later. If the present deadline is as late already, the
// verdict is VerdictReplayed.
func (c CellState) Extend(r *Reservation, deadlineMS int64, outboxFull bool) (int64, Verdict) {
	if verdict := c.Settle(r.Quantity); verdict != VerdictOK {
		return 0, verdict
	}
	deadlineMS = min(deadlineMS, r.DeadlineMS-r.ExtendedMS+c.ExtendMax.Milliseconds())
	switch {
	case c.ExtendMax == 0:
		return 0, VerdictLimitReached
	case deadlineMS <= r.DeadlineMS:
		return 0, VerdictReplayed
	case outboxFull:
		return 0, VerdictBackpressure
	}
	return deadlineMS, VerdictOK
}

// Return decides a return of units whose id is new.
func (c CellState) Return(quantity int64, outboxFull bool) Verdict {
	switch {
	case !c.Loaded:
		return VerdictNotLoaded
	case c.Shut() != VerdictOK:
		return c.Shut()
	case outboxFull:
		return VerdictBackpressure
	case c.Sold < quantity:
		return VerdictWrongState
	}
	return VerdictOK
}

// Settle decides whether a held reservation of so many units may be confirmed, released or expired. It looks at the
// cell only. A missing cell is a loss, because the cell existed when the units were reserved.
func (c CellState) Settle(held int64) Verdict {
	switch {
	case !c.Loaded:
		return VerdictFenced
	case c.Shut() == VerdictOK && c.Breach(held):
		return VerdictBreached
	}
	return c.Shut()
}

// Repeat decides whether a request was made before, by the record of its id. If there is none, it returns VerdictOK.
func (r Reservation) Repeat(fingerprint uint32) Verdict {
	switch {
	case r.State == StateNone:
		return VerdictOK
	case r.Fingerprint != fingerprint:
		return VerdictMismatch
	}
	return VerdictReplayed
}

// Adjust decides an adjustment whose id is new.
func (c CellState) Adjust(a *Adjustment) Verdict {
	switch {
	case a.Create && c.Loaded:
		return VerdictWrongState
	case a.Create:
		return VerdictOK
	case !c.Loaded:
		return VerdictNotLoaded
	case c.Shut() != VerdictOK:
		return c.Shut()
	case c.Avail+a.Delta < 0:
		return VerdictSoldOut
	}
	return VerdictOK
}

// With returns s with the settings that fields names taken from another one.
func (s Settings) With(fields Fields, from Settings) Settings {
	if fields&FieldLimit != 0 {
		s.Limit = from.Limit
	}
	if fields&FieldOpensAt != 0 {
		s.OpensAtMS = from.OpensAtMS
	}
	if fields&FieldClosesAt != 0 {
		s.ClosesAtMS = from.ClosesAtMS
	}
	if fields&FieldHold != 0 {
		s.Hold = from.Hold
	}
	if fields&FieldAck != 0 {
		s.Ack = from.Ack
	}
	if fields&FieldShopperDeducts != 0 {
		s.ShopperDeducts = from.ShopperDeducts
	}
	if fields&FieldFrozen != 0 {
		s.Frozen = from.Frozen
	}
	if fields&FieldExtendMax != 0 {
		s.ExtendMax = from.ExtendMax
	}
	return s
}
