package rebuild

import (
	"sluice/core/event"
	"sluice/core/stock"
)

// Rebase puts the cell into its next epoch, and opens it if it was shut. So late events of the lost data collide with
// nothing. Rebase returns its events, in order. A hold that no longer fits is revoked in an epoch of its own, in
// which the cell has no other hold, because all holds together would not fit.
func (c *Cell) Rebase(reason string) (events []event.Event) {
	c.Fenced, c.Breached, c.Loaded = false, false, true
	keep := c.Balances
	for i := range c.Revoked {
		r := &c.Revoked[i]
		r.State, r.Counted, r.ExtendedMS = stock.StateRevoked, false, 0
		free := keep.Avail + keep.Held
		if r.Quantity > free {
			r.Seq = c.Seq
			continue // no event can express it
		}
		c.Balances = stock.Balances{Avail: free - r.Quantity, Held: r.Quantity, Sold: keep.Sold, Total: keep.Total}
		events = append(events, c.next(reason))
		c.Seq++
		c.Balances = stock.Balances{Avail: free, Sold: keep.Sold, Total: keep.Total}
		r.Seq = c.Seq
		events = append(events, event.Event{
			Kind: event.KindRevoke, Reservation: r.ID, User: r.User, Quantity: r.Quantity, Fingerprint: r.Fingerprint, Cell: c.Cell,
			Position: c.Position, Avail: c.Avail, Sold: c.Sold, DeadlineMS: r.DeadlineMS,
		})
	}
	c.Balances = keep
	return append(events, c.next(reason))
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
