package reconcile

import "sluice/core/stock"

// Shorten has the view walk along its older events, as a reader does that has read the ledger up to a position.
func (v *View) Shorten(read stock.Position, keep int) { v.shorten(read, keep) }

// Unlisted are the events that a reader then takes along.
func (v *View) Unlisted() []Event { return v.unlisted() }

// Cropped tells that not all events beyond the cut are there.
func (v *View) Cropped() bool { return v.cropped }

// SetWalkOften sets how many events above a cell's mark each sweep reads.
func (s *Sweeper) SetWalkOften(n uint64) { s.walkOften = n }

// SetTransitsMost sets how many halves of transfers a sweep has in memory.
func (s *Sweeper) SetTransitsMost(n int) { s.transitsMost = n }

// SetHeldMost sets how many reservations of the cells of one look are in memory.
func (s *Sweeper) SetHeldMost(n int) { s.heldMost = n }
