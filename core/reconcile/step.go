package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"sluice/core/event"
	"sluice/core/show"
	"sluice/core/stock"
)

// StepID is a hash of a step's action and of the state that it expects. So everybody who plans the same step gives it
// the same id.
type StepID [sha256.Size]byte

// String is the id as 64 lower-case hexadecimal digits.
func (id StepID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id StepID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// RepairStep puts one thing right that a finding reports, or says why no step can.
type RepairStep struct {
	ID        StepID    `json:"step_id"`
	Type      Type      `json:"type"`
	Repair    string    `json:"repair"`
	SKU       show.ID   `json:"sku_id"`
	Pool      uint32    `json:"pool"`
	Bucket    uint16    `json:"bucket"`
	Units     int64     `json:"units"`
	Direction Direction `json:"direction"` // the direction of the finding, which the step ends
	Expects   string    `json:"expects"`
	Does      string    `json:"does"`
	Refused   string    `json:"refused,omitzero"` // why there is no step, and what helps
	Act       Act       `json:"act"`
}

// Cell is the cell that the step is about.
func (s *RepairStep) Cell() stock.Cell {
	return stock.Cell{SKU: int64(s.SKU), Pool: s.Pool, Bucket: s.Bucket}
}

// Act is the action of a step. One member is set.
type Act struct {
	Shift    *Shift       `json:"shift,omitzero"`
	Record   *RecordEdit  `json:"record,omitzero"`
	Count    *CountEdit   `json:"count,omitzero"`
	Row      *RowEdit     `json:"row,omitzero"`
	Stock    *StockEdit   `json:"stock,omitzero"`
	Letter   string       `json:"letter,omitzero"`  // id of a dead letter to apply again
	Settled  string       `json:"settled,omitzero"` // id of a dead letter to resolve
	Transfer *TransferEnd `json:"transfer,omitzero"`
	Events   *EventsAgain `json:"events,omitzero"`
}

// Shift moves the counters of a cell by a difference, and the cell into the next epoch. Events change the counters
// and leave the difference as it is. So a shift fits as long as the cell is in its epoch, and nobody can do it twice.
type Shift struct {
	Epoch uint32 `json:"epoch"`
	Avail int64  `json:"avail"`
	Held  int64  `json:"held"`
	Sold  int64  `json:"sold"`
}

// RecordEdit replaces the record of a reservation in Redis. A record without a state means that there is none.
type RecordEdit struct {
	Reservation string `json:"reservation_id"`
	Found       Record `json:"found"`
	Wanted      Record `json:"wanted"`
}

// Record is a record of Redis.
type Record struct {
	State       string  `json:"state"`
	Counted     bool    `json:"counted,omitzero"`
	User        show.ID `json:"user_id,omitzero"`
	Quantity    int64   `json:"quantity,omitzero"`
	Fingerprint uint32  `json:"fingerprint,omitzero"`
	Seq         uint64  `json:"seq,omitzero"`
	DeadlineMS  int64   `json:"deadline_ms,omitzero"`
	ExtendedMS  int64   `json:"extended_ms,omitzero"`
	SKU         show.ID `json:"sku_id,omitzero"`
	Pool        uint32  `json:"pool,omitzero"`
	Bucket      uint16  `json:"bucket,omitzero"`
}

func recordOf(r *stock.Reservation) Record {
	if r == nil || r.State == stock.StateNone {
		return Record{State: stock.StateNone.String()}
	}
	return Record{
		r.State.String(), r.Counted, show.ID(r.User), r.Quantity, r.Fingerprint, r.Seq, r.DeadlineMS, r.ExtendedMS,
		show.ID(r.Cell.SKU), r.Cell.Pool, r.Cell.Bucket,
	}
}

// Reservation returns the record in the form of package stock.
func (r *Record) Reservation(id stock.ReservationID) stock.Reservation {
	return stock.Reservation{
		ID: id, State: stock.ParseState(r.State), Counted: r.Counted, User: int64(r.User), Quantity: r.Quantity, Fingerprint: r.Fingerprint,
		Seq: r.Seq, DeadlineMS: r.DeadlineMS, ExtendedMS: r.ExtendedMS, Cell: stock.Cell{SKU: int64(r.SKU), Pool: r.Pool, Bucket: r.Bucket},
	}
}

// CountEdit replaces a user's count.
type CountEdit struct {
	User   show.ID `json:"user_id"`
	Found  int64   `json:"found"`
	Wanted int64   `json:"wanted"`
}

// RowEdit makes a row of the table of reservations agree with an event of the ledger.
type RowEdit struct {
	Reservation string `json:"reservation_id"`
	Epoch       uint32 `json:"epoch"` // of the event
	Seq         uint64 `json:"seq"`
	FoundEpoch  uint32 `json:"found_epoch"` // epoch of the row; 0: there is no row
	FoundSeq    uint64 `json:"found_seq"`
}

// StockEdit makes the row of the stock table agree with the last event of the ledger.
type StockEdit struct {
	Epoch uint32 `json:"epoch"` // epoch of the last event when the step was planned. The ledger must still have that event
	Seq   uint64 `json:"seq"`
}

// TransferEnd brings in units that have left the other cell.
type TransferEnd struct {
	Out   string       `json:"out"` // id of the half that was done
	Epoch uint32       `json:"epoch"`
	Seq   uint64       `json:"seq"`
	To    *Destination `json:"to,omitzero"` // nil: only a sale that has moved the units knows
}

// Destination is a cell of the step's SKU where units were to go.
type Destination struct {
	Pool   uint32 `json:"pool"`
	Bucket uint16 `json:"bucket"`
}

// EventsAgain publishes some events again that Kafka still has.
type EventsAgain struct {
	Spans   []SeqSpan `json:"spans"`
	SinceMS int64     `json:"since_ms"` // Redis time: they happened later; 0: not known
}

// SeqSpan is a range of seqs of a cell's history, including the last one.
type SeqSpan struct {
	Epoch uint32 `json:"epoch"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// Has reports whether the range contains an event.
func (e *EventsAgain) Has(m stock.Position) bool {
	for _, s := range e.Spans {
		if s.Epoch == m.Epoch && s.First <= m.Seq && m.Seq <= s.Last {
			return true
		}
	}
	return false
}

// text names the ranges.
func (e *EventsAgain) text() string {
	names := make([]string, len(e.Spans))
	for i, s := range e.Spans {
		if names[i] = fmt.Sprintf("the event at %d.%d", s.Epoch, s.First); s.Last > s.First {
			names[i] = fmt.Sprintf("the events from %d.%d to %d.%d", s.Epoch, s.First, s.Epoch, s.Last)
		}
	}
	return strings.Join(names, ", ")
}

// newStep makes a step about a cell.
func newStep(t Type, cell stock.Cell, units int64, way Direction, act Act, expects, does string) RepairStep {
	s := RepairStep{
		Type: t, Repair: repairs[t], SKU: show.ID(cell.SKU), Pool: cell.Pool, Bucket: cell.Bucket, Units: units, Direction: way,
		Expects: expects, Does: does, Act: act,
	}
	s.identify()
	return s
}

func (s *RepairStep) identify() {
	same := struct {
		Type   Type
		SKU    show.ID
		Pool   uint32
		Bucket uint16
		Act    Act
	}{s.Type, s.SKU, s.Pool, s.Bucket, s.Act}
	data, err := json.Marshal(same)
	if err != nil {
		panic(err) // plain values
	}
	s.ID = sha256.Sum256(data)
}

// replayStep makes a step that applies a dead letter again.
func replayStep(cell stock.Cell, units int64, letter string) RepairStep {
	return newStep(DeadLetter, cell, units, Bookkeeping, Act{Letter: letter}, "the letter is not resolved", "persisters apply it again")
}

// cannot makes a step that is not done, with the reason.
func cannot(f *Finding, why string) RepairStep {
	s := newStep(f.Type, f.Cell(), f.Units, f.Direction, Act{}, "", "")
	s.Refused = why
	return s
}

// plan adds a step to the judgement under way.
func (j *judge) plan(t Type, units int64, way Direction, act Act, expects, does string) {
	j.keep(newStep(t, j.Cell, units, way, act, expects, does))
}

// keep keeps a step if there is room for it.
func (j *judge) keep(s RepairStep) {
	if len(j.steps) < stepsOfCellMax {
		j.steps = append(j.steps, s)
	}
}

// stepsOfCellMax bounds the steps of one cell in one plan. The next plan has the rest.
const stepsOfCellMax = 4000

// spansMax bounds the gaps of one step, so that it fits into a row of the table of repairs. The next plan has the rest.
const spansMax = 500

// planRecord plans a step that replaces a record in Redis.
func (j *judge) planRecord(t Type, units int64, way Direction, found, wanted *stock.Reservation) {
	id := wanted.ID
	if j.amended == nil {
		j.amended = map[stock.ReservationID]*stock.Reservation{}
	}
	j.amended[id] = wanted
	does := fmt.Sprintf("the record of %v becomes %s", id, recordText(wanted))
	if wanted.State == stock.StateNone {
		does = fmt.Sprintf("the record of %v is removed", id)
	}
	if found != nil && *found == *wanted {
		does = fmt.Sprintf("the deadline of %v is listed again, and whoever sweeps gives its units back", id)
	}
	j.plan(t, units, way, Act{Record: &RecordEdit{id.String(), recordOf(found), recordOf(wanted)}},
		fmt.Sprintf("the record of %v is %s", id, recordText(found)), does)
}

func recordText(r *stock.Reservation) string {
	if r == nil || r.State == stock.StateNone {
		return "not there"
	}
	return fmt.Sprintf("%v, %d units, seq %d", r.State, r.Quantity, r.Seq)
}

// planCount plans a step that replaces a user's count.
func (j *judge) planCount(b Buyer, wanted, units int64, way Direction) {
	if j.untold {
		return // they may count
	}
	j.plan(BuyerCount, units, way, Act{Count: &CountEdit{userID(b.User), b.Units, wanted}},
		fmt.Sprintf("user %d has a count of %d", b.User, b.Units), fmt.Sprintf("the count becomes %d", wanted))
}

// planStock plans a step that rewrites the row of the stock table.
func (j *judge) planStock(units int64, last *Event) {
	j.plan(ProjectionStale, units, Bookkeeping, Act{Stock: &StockEdit{last.Epoch, last.Seq}},
		fmt.Sprintf("the ledger has the event at %d.%d", last.Epoch, last.Seq), "a persister makes the row of product_inventories what the ledger's last event left")
}

// planRow plans a step that rewrites a row of the table of reservations.
func (j *judge) planRow(id stock.ReservationID, units int64, found stock.Position, last *Event) {
	expects := fmt.Sprintf("the row of %v is not there", id)
	if found.Seq > 0 {
		expects = fmt.Sprintf("the row of %v is at %d.%d", id, found.Epoch, found.Seq)
	}
	j.plan(ProjectionStale, units, Bookkeeping, Act{Row: &RowEdit{id.String(), last.Epoch, last.Seq, found.Epoch, found.Seq}},
		expects, fmt.Sprintf("a persister makes it what the event at %d.%d left: %v, %d units", last.Epoch, last.Seq, last.Kind.State(), last.Quantity))
}

// heldAgain returns the record of a reservation that is held according to the events. base is its present record, if
// there is one.
func (j *judge) heldAgain(id stock.ReservationID, base *stock.Reservation, t *told) *stock.Reservation {
	e := t.event
	if e == nil || e.Reservation != id {
		return nil
	}
	r := stock.Reservation{
		ID: id, State: stock.StateHeld, User: e.User, Quantity: e.Quantity, Fingerprint: e.Fingerprint, Cell: j.Cell, Seq: e.Seq, DeadlineMS: e.DeadlineMS,
	}
	if base != nil {
		r.ExtendedMS = base.ExtendedMS
	} else if e.Kind == event.KindExtend {
		r.ExtendedMS = j.Redis.ExtendMax.Milliseconds() // nobody knows how much of the bound is used, so no more of it is given
	}
	if base != nil && base.Counted {
		r.Counted = true
		return &r
	}
	reservedMS := e.TimeMS
	if e.Kind != event.KindReserve {
		reservedMS = 0
	}
	if t.row != nil {
		reservedMS = t.row.ReservedMS
	}
	j.limitless = j.limitless || reservedMS != 0 && len(j.Limits) == 0
	surely, maybe := j.limited(reservedMS)
	r.Counted = surely || maybe
	return &r
}

// planShift plans the step that takes away the part of a cell's counters that no event explains. It declares what is
// left.
func (j *judge) planShift() {
	var wrong stock.Balances
	t, way, units, found := CounterEdit, Bookkeeping, int64(0), false
	take := func(have, want stock.Balances) {
		wrong.Avail, wrong.Held, wrong.Sold = wrong.Avail+have.Avail-want.Avail, wrong.Held+have.Held-want.Held, wrong.Sold+have.Sold-want.Sold
		found = true
	}
	edited, undone := false, false // a vetting sets held to the sum of the holds, and avail to the rest
	for i := range j.breaches {
		b := &j.breaches[i]
		if b.edited {
			edited = true
		} else {
			take(b.found, b.left)
			undone = undone || b.vetted && b.found.Held != b.left.Held
		}
	}
	if e := j.at(j.Redis.Position); e != nil && !j.forked[e.Position] && j.afterOf(e) != j.Redis.Balances {
		take(j.Redis.Balances, j.afterOf(e))
	}
	if j.short > 0 { // they are among the free ones
		take(stock.Balances{Avail: j.short}, stock.Balances{Held: j.short})
	}
	if !found && !edited {
		return
	}
	for i := range j.findings {
		f := &j.findings[i]
		if f.Type == CounterEdit || f.Type == Fork && edited && !found {
			t, way, units = f.Type, f.Direction, max(units, f.Units)
		}
	}
	to := j.Redis.Balances
	to.Avail, to.Held, to.Sold = to.Avail-wrong.Avail, to.Held-wrong.Held, to.Sold-wrong.Sold
	units = max(units, moved(wrong, stock.Balances{}))
	step := newStep(t, j.Cell, units, way, Act{Shift: &Shift{j.Redis.Epoch, -wrong.Avail, -wrong.Held, -wrong.Sold}},
		fmt.Sprintf("the cell is in epoch %d", j.Redis.Epoch),
		fmt.Sprintf("a rebase moves avail by %+d, held by %+d, sold by %+d: now to %d, %d, %d", -wrong.Avail, -wrong.Held, -wrong.Sold, to.Avail, to.Held, to.Sold))
	switch {
	case len(j.missing) > 0 || j.has(DeadLetter):
		step.Refused = "its history is not whole: repair its gap or dead letter first, and plan again"
	case len(j.forked) > 0 || j.has(LostTail):
		step.Refused = "its history has two ends: see docs/runbooks/fork.md"
	case undone:
		step.Refused = "a vetting has put held units right since, and moved avail with them: count the SKU, and restock it"
	case min(to.Avail, to.Held, to.Sold) < 0:
		step.Refused = fmt.Sprintf("%d units too many are taken already: restock the SKU with so many, or release reservations, and plan again", -min(to.Avail, to.Held, to.Sold))
	}
	j.keep(step)
}

// refuse notes, for each type of finding without a step, why there is none.
func (j *judge) refuse() {
	planned := map[Type]bool{}
	for i := range j.steps {
		planned[j.steps[i].Type] = true
	}
	for i := range j.findings {
		f := &j.findings[i]
		if planned[f.Type] || len(j.steps) >= stepsOfCellMax {
			continue
		}
		why := whyNot(f.Type)
		if f.Type == Fork {
			planned[Fork] = true // one decision for all of them
			why = j.decision()
		} else if f.Type == LostTail && j.onlySeen() {
			why = fmt.Sprintf("only Redis had its events, and nobody can bring them back: see in your shop what was sold of it, %d units at most, "+
				"and load the SKU again without these: docs/restore.md", j.Lost.Total)
		}
		j.steps = append(j.steps, cannot(f, why))
	}
}

// decision says what a person types if two histories have sold units, and what it costs.
func (j *judge) decision() string {
	var ids []string
	units := int64(0)
	for _, l := range j.Letters {
		if isFork(l.Reason) {
			ids, units = append(ids, l.ID), units+l.Units
		}
	}
	if len(ids) == 0 {
		return "two histories have sold units: wait until a persister keeps one of the two events as a dead letter, and plan again"
	}
	each := strings.Join(ids[:min(len(ids), lettersShown)], ", ")
	if len(ids) > lettersShown {
		each += fmt.Sprintf(" and the other %d of sluice deadletter list --reason fork", len(ids)-lettersShown)
	}
	sale := ""
	if j.Cell.Pool != 0 {
		sale = fmt.Sprintf(" --sale %d", j.Cell.Pool)
	}
	return fmt.Sprintf("two histories have sold units, and only a person can decide. The ledger's stands after these commands: sluice stock freeze %d%s --reason fork; "+
		"sluice stock adjust %d%s --delta=-%d --reason fork; sluice deadletter resolve ID --reason fork, for each of %s; sluice reconcile --sku %d --repair --apply --reason fork, until nothing differs. "+
		"The events of these letters are void then, %d units: docs/runbooks/fork.md says what that costs", j.Cell.SKU, sale, j.Cell.SKU, sale, units, each, j.Cell.SKU, units)
}

// lettersShown is how many letters a step names.
const lettersShown = 5

// whyNot says why a finding of a type has no step of its own.
func whyNot(t Type) string {
	switch t {
	case LostTail:
		return "what Redis has lost is brought back when its partition is vetted: see docs/runbooks/redis-shut.md"
	case DeadLetter:
		return "it is never applied again: see what it says, and then sluice deadletter resolve"
	case TransitStuck:
		return "repeat the call that moved the units, with its Idempotency-Key"
	case Unverifiable:
		return "nothing is proven: see what keeps it from being read, and plan again"
	case Fork, Gap, CounterEdit, LeakedHold, OrphanReservation, DoubleRelease, BuyerCount, ProjectionStale:
	}
	return "its proof is not complete: another finding of the same cell comes first; repair that, and plan again"
}
