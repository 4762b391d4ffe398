package rebuild

import (
	"sluice/core/event"
	"sluice/core/stock"
)

// Rebase revokes the holds that are left to revoke, and puts the cell into its next epoch, so that late events of the
// lost data collide with nothing. It opens a cell that was shut. It returns the events of all this, in their order.
func (c *Cell) Rebase(reason string) []event.Event {
	_, events := c.Revoke(len(c.Revoked), reason)
	c.Fenced, c.Breached, c.Loaded = false, false, true
	held := int64(0)
	for i := range c.Held {
		held += c.Held[i].Quantity
	}
	c.Avail, c.Balances.Held = c.Total-c.Sold-held, held
	return append(events, c.next(reason))
}

// Revoke revokes the next holds for which the counters have no units, at most so many. It returns them and their
// events; if all are revoked, it returns none. Each hold is revoked in an epoch of its own, in which the cell has no
// other hold, because all of them together do not fit into the counters. So the cell must stay fenced until Rebase
// gives it the holds that it keeps.
func (c *Cell) Revoke(most int, reason string) (revoked []stock.Reservation, events []event.Event) {
	revoked = c.Revoked[c.revoked:min(c.revoked+most, len(c.Revoked))]
	c.revoked += len(revoked)
	free := c.Total - c.Sold
	for i := range revoked {
		r := &revoked[i]
		r.State, r.Counted, r.ExtendedMS = stock.StateRevoked, false, 0
		if r.Quantity > free {
			r.Seq = c.Seq
			continue // no event can say it
		}
		c.Avail, c.Balances.Held = free-r.Quantity, r.Quantity
		events = append(events, c.next(reason))
		c.Seq++
		c.Avail, c.Balances.Held = free, 0
		r.Seq = c.Seq
		events = append(events, event.Event{
			Kind: event.KindRevoke, Reservation: r.ID, User: r.User, Quantity: r.Quantity, Fingerprint: r.Fingerprint, Cell: c.Cell,
			Position: c.Position, Avail: c.Avail, Sold: c.Sold, DeadlineMS: r.DeadlineMS,
		})
	}
	return revoked, events
}

// next begins the next epoch.
func (c *Cell) next(reason string) event.Event {
	from := c.Position
	c.Epoch, c.Seq = from.Epoch+1, from.Seq+1
	return event.Event{
		Kind: event.KindRebase, Cell: c.Cell, Position: c.Position, Avail: c.Avail, Held: c.Balances.Held, Sold: c.Sold,
		Change: event.Change{From: from, Fields: ^stock.Fields(0), Settings: c.Settings, Reason: reason},
	}
}
