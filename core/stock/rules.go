package stock

// Sound reports whether the counters add up and none is negative. Scripts shut a cell that is not sound, because selling
// from wrong counters would be guessing.
func (b Balances) Sound() bool {
	return b.Avail >= 0 && b.Held >= 0 && b.Sold >= 0 && b.Avail+b.Held+b.Sold == b.Total
}

// Breach reports whether the counters must be wrong, given that a reservation of held units is open: they are not sound,
// or fewer units are held.
func (b Balances) Breach(held int64) bool { return !b.Sound() || b.Held < held }

// HasRoom reports whether a cell can take units more. Scripts do not check this.
func (b Balances) HasRoom(units int64) bool { return units <= UnitsMax-b.Total }

// NeverSells reports whether a cell closes before it opens.
func (s Settings) NeverSells() bool { return s.ClosesAtMS != 0 && s.ClosesAtMS <= s.OpensAtMS }

// OverAt reports whether a cell has closed at a Redis time.
func (s Settings) OverAt(nowMS int64) bool { return s.ClosesAtMS != 0 && s.ClosesAtMS <= nowMS }

// Shut returns the reason why nothing at all may happen to a loaded cell, or VerdictOK. An admin's freeze is no such
// reason, because it stops selling only.
func (c CellState) Shut() Verdict {
	switch {
	case c.Fenced:
		return VerdictFenced
	case c.Breached || !c.Sound():
		return VerdictBreached
	}
	return VerdictOK
}

// Taking has everything besides the cell that decides whether a reserve or deduct may pass.
type Taking struct {
	Quantity   int64
	Owned      int64    // counted units that the user holds and owns already
	Fence      Position // the highest position of the cell that the caller has seen
	NowMS      int64
	Registered bool // the user is registered for the sale of the cell
	OutboxFull bool
	NoReplica  bool // no replica will have the effect: the caller waits for none, or there is none
	Default    Ack  // the deployment's level
}

// Take decides a reserve or deduct whose id is new. The order of the refusals is part of the contract: first who may ask at
// all, because an edge says so without looking at the cell; then faults of the cell, of the moment, and of the request.
func (c CellState) Take(t Taking) Verdict {
	switch {
	case !c.Loaded && t.Fence != Position{}:
		return VerdictFenced
	case !c.Loaded:
		return VerdictNotLoaded
	case c.RegisteredOnly && !t.Registered:
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
	case c.Limit != 0 && t.Owned+t.Quantity > c.Limit:
		return VerdictLimitReached
	case c.Avail < t.Quantity:
		return VerdictSoldOut
	}
	return VerdictOK
}

// Settle decides by the reservation alone whether a user may confirm or release it. User 0 is a service.
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

// Extend decides by the reservation alone whether a user may have its deadline moved to another one. User 0 is a service. A
// deadline never moves back: one that is late enough is replayed.
func (r Reservation) Extend(deadlineMS, user, nowMS int64) Verdict {
	if verdict := r.Settle(StateNone, user, nowMS); verdict != VerdictOK {
		return verdict
	}
	if deadlineMS <= r.DeadlineMS {
		return VerdictReplayed
	}
	return VerdictOK
}

// Extend decides by the cell whether the deadline of an open reservation moves to another one, and returns where it moves:
// the bound counts from the first deadline, and a deadline beyond it moves there only. If it is there, it is replayed.
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

// Settle decides by the cell alone whether an open reservation of held units may be settled or expire. If the cell does not
// exist, Redis has lost it, because it existed when the units were reserved.
func (c CellState) Settle(held int64) Verdict {
	switch {
	case !c.Loaded:
		return VerdictFenced
	case c.Shut() == VerdictOK && c.Breach(held):
		return VerdictBreached
	}
	return c.Shut()
}

// Repeat decides a request whose id may be taken. It returns VerdictOK if the id is free.
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

// With returns s with some settings replaced by those of another.
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
