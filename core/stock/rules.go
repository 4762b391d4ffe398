package stock

// Sound reports whether the counters add up and none is negative. Selling from counters that do not
// would be guessing, so a cell that is not sound is shut.
func (b Balances) Sound() bool {
	return b.Avail >= 0 && b.Held >= 0 && b.Sold >= 0 && b.Avail+b.Held+b.Sold == b.Total
}

// Breach reports whether the counters cannot be right while a reservation of so many units is held: they
// are not sound, or fewer are held.
func (b Balances) Breach(held int64) bool { return !b.Sound() || b.Held < held }

// HasRoom reports whether a cell can take so many units more. Scripts take it for granted.
func (b Balances) HasRoom(units int64) bool { return units <= UnitsMax-b.Total }

// NeverSells reports whether a cell closes before it opens.
func (s Settings) NeverSells() bool { return s.ClosesAtMS != 0 && s.ClosesAtMS <= s.OpensAtMS }

// OverAt reports whether a cell has closed at a Redis time.
func (s Settings) OverAt(nowMS int64) bool { return s.ClosesAtMS != 0 && s.ClosesAtMS <= nowMS }

// Shut is why nothing at all may happen to a loaded cell, or VerdictOK. It does not cover a freeze by
// an admin, which stops selling only.
func (c CellState) Shut() Verdict {
	switch {
	case c.Fenced:
		return VerdictFenced
	case c.Breached || !c.Sound():
		return VerdictBreached
	}
	return VerdictOK
}

// Taking is what decides, beside the cell itself, whether a reserve or deduct may pass.
type Taking struct {
	Quantity   int64
	Owned      int64    // counted units that the user holds and owns already
	Fence      Position // the highest position of the cell that the caller has seen
	NowMS      int64
	OutboxFull bool
	NoReplica  bool // no replica would have the effect: the caller waits for none, or there is none
	Default    Ack  // the deployment's level
}

// Take decides a reserve or deduct whose id is new. The order of the refusals is part of the
// contract: what is wrong with the cell comes before what is wrong with the moment, and that before
// what is wrong with the request.
func (c CellState) Take(t Taking) Verdict {
	switch {
	case !c.Loaded && t.Fence != Position{}, c.Loaded && c.Less(t.Fence):
		return VerdictFenced
	case !c.Loaded:
		return VerdictNotLoaded
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

// Settle decides whether a reservation may become confirmed or released at the request of a user, as
// far as the reservation itself is concerned. User 0 is a service.
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

// Settle is why no held reservation of so many units can be settled or expire, as far as its cell is
// concerned, or VerdictOK. A cell that is not there was there when they were reserved: Redis lost it.
func (c CellState) Settle(held int64) Verdict {
	switch {
	case !c.Loaded:
		return VerdictFenced
	case c.Shut() == VerdictOK && c.Breach(held):
		return VerdictBreached
	}
	return c.Shut()
}

// Repeat decides a request with an id that may be taken: VerdictOK if it is free.
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

// With is s with some settings taken from another.
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
	return s
}
