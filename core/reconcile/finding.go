package reconcile

import (
	"cmp"
	"slices"

	"sluice/core/show"
	"sluice/core/stock"
)

// Class says how a cell compares.
type Class string

// The classes.
const (
	InSync     Class = "in_sync"
	InFlight   Class = "in_flight"  // events under way explain the difference
	Drift      Class = "drift"      // they do not
	Unverified Class = "unverified" // nobody could tell
	Absent     Class = "absent"     // no store knows the cell; reports do not count it
)

// Type is the kind of a difference.
type Type string

// The types.
const (
	Gap               Type = "gap"                // an event is nowhere
	Fork              Type = "fork"               // one position in the history has two events
	LostTail          Type = "lost_tail"          // Redis lacks events that others have
	CounterEdit       Type = "counter_edit"       // no event explains the counters in Redis
	LeakedHold        Type = "leaked_hold"        // units are held that no reservation can give back
	OrphanReservation Type = "orphan_reservation" // a reservation is held whose units nobody took from stock
	DoubleRelease     Type = "double_release"     // a reservation has ended, and could end again
	BuyerCount        Type = "buyer_count"        // a user's count differs from the sum of the reservations
	ProjectionStale   Type = "projection_stale"   // a row of MySQL differs from the ledger
	DeadLetter        Type = "dead_letter"        // a persister could not apply an event to MySQL
	TransitStuck      Type = "transit_stuck"      // units have left a cell, and have not arrived in another
	Unverifiable      Type = "unverifiable"       // the cell cannot be compared
)

// Types are all of them, in the order of reports.
var Types = []Type{
	Gap, Fork, LostTail, CounterEdit, LeakedHold, OrphanReservation, DoubleRelease, BuyerCount, ProjectionStale, DeadLetter,
	TransitStuck, Unverifiable,
}

// repairs has, for each type, the name of the step that puts it right.
var repairs = map[Type]string{
	Gap: "apply_events", Fork: "rebase_cell", LostTail: "rebase_cell", CounterEdit: "restore_counters", LeakedHold: "return_hold",
	OrphanReservation: "remove_reservation", DoubleRelease: "end_reservation", BuyerCount: "set_buyer_count",
	ProjectionStale: "rewrite_projection", DeadLetter: "replay_letter", TransitStuck: "finish_transfer", Unverifiable: "read_again",
}

// Direction says what a difference can do to a sale.
type Direction string

// The directions.
const (
	Oversell    Direction = "oversell"    // more can be sold, or taken by one user, than should be
	Undersell   Direction = "undersell"   // less can be
	Bookkeeping Direction = "bookkeeping" // neither: only the books are wrong
)

// Finding is a difference that nothing under way explains.
type Finding struct {
	Type      Type        `json:"type"`
	SKU       show.ID     `json:"sku_id"` // 0: the finding is about a message that cannot be read
	Pool      uint32      `json:"pool"`   // 0: normal stock, else the sale
	Bucket    uint16      `json:"bucket"`
	Units     int64       `json:"units"`
	Direction Direction   `json:"direction"`
	Since     show.Moment `json:"since"` // the difference is not older, by Redis' clock
	Repair    string      `json:"repair"`
	Proof     []Proof     `json:"proof"`
}

// Cell returns the cell that the finding is about.
func (f *Finding) Cell() stock.Cell {
	return stock.Cell{SKU: int64(f.SKU), Pool: f.Pool, Bucket: f.Bucket}
}

// proofsMax is the largest number of rows that prove a finding. If there are more, the last one counts those left
// out.
const proofsMax = 20

// Store says where something was read.
type Store string

// The stores.
const (
	InRedis        Store = "redis"
	InOutbox       Store = "outbox"
	InKafka        Store = "kafka"
	InLedger       Store = "ledger"
	InStock        Store = "product_inventories"
	InReservations Store = "reservations"
	InLetters      Store = "dead_letters"

	InRegistrations Store = "registrations" // registered users, in MySQL and Redis
	InEdges         Store = "edges"         // what edges have seen, and have told MySQL
)

// Proof is one row of a store that proves a finding.
type Proof struct {
	Store       Store    `json:"store"`
	Says        string   `json:"says"`
	Epoch       uint32   `json:"epoch,omitzero"`
	Seq         uint64   `json:"seq,omitzero"`
	Reservation string   `json:"reservation_id,omitzero"`
	User        show.ID  `json:"user_id,omitzero"`
	Units       int64    `json:"units,omitzero"`
	Counters    *Counted `json:"counters,omitzero"`
}

// Counted has the counters of a proof.
type Counted struct {
	Avail int64 `json:"avail"`
	Held  int64 `json:"held"`
	Sold  int64 `json:"sold"`
	Total int64 `json:"total"`
}

func counted(b stock.Balances) *Counted { return &Counted{b.Avail, b.Held, b.Sold, b.Total} }

// finding makes a finding about a cell.
func finding(t Type, cell stock.Cell, units int64, way Direction, sinceMS int64, proof ...Proof) Finding {
	return Finding{
		Type: t, SKU: show.ID(cell.SKU), Pool: cell.Pool, Bucket: cell.Bucket, Units: units, Direction: way,
		Since: show.Moment(sinceMS), Repair: repairs[t], Proof: proof,
	}
}

// order sorts findings in the order of reports: by cell, then by type.
func order(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(a.Cell().Compare(b.Cell()), cmp.Compare(slices.Index(Types, a.Type), slices.Index(Types, b.Type)))
	})
}

// moved returns how many units have to move to make one of the other.
func moved(have, want stock.Balances) int64 {
	var more, less int64
	for _, d := range []int64{have.Avail - want.Avail, have.Held - want.Held, have.Sold - want.Sold} {
		more, less = more+max(d, 0), less+max(-d, 0)
	}
	if units := max(more, less); units > 0 {
		return units
	}
	return max(have.Total-want.Total, want.Total-have.Total)
}

// direction says what wrong counters can do. Units that look unsold will be sold: at once if they are available,
// after the hold if they are held.
func direction(have, want stock.Balances) Direction {
	switch {
	case have.Avail > want.Avail, have.Avail == want.Avail && have.Sold < want.Sold:
		return Oversell
	case have.Avail < want.Avail, have.Sold > want.Sold:
		return Undersell
	}
	return Bookkeeping
}
