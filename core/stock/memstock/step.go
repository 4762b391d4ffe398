package memstock

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"sluice/core/event"
	"sluice/core/stock"
)

// step models one call of a script. It decides by the stored data and by its own changes so far, and writes only when
// everything is decided. Its maps have the changes; they take precedence over the partition's.
type step struct {
	*partition
	nowMS      int64
	outboxFull bool
	noReplica  bool                          // nobody waits for a replica, or there is none
	ack        stock.Ack                     // the deployment's level
	seen       map[stock.Cell]stock.Position // the highest position of each cell that a caller of the vector has seen

	looked       map[stock.Cell]bool
	cells        map[stock.Cell]stock.CellState
	reservations map[stock.ReservationID]stock.Reservation
	buyers       map[buyer]int64
	held         map[hold][]stock.ReservationID
	finished     []stock.ReservationID
	baskets      map[stock.ReservationID]stock.BasketRecord
	begun        []stock.Undecided
	decided      []stock.ReservationID // baskets
	events       []event.Event
}

// hold is the key by which reservations of one vector become one member of the deadlines.
type hold struct {
	deadlineMS int64
	pool       uint32
}

func (p *partition) begin(nowMS int64, outboxEntriesMax int64) *step {
	return &step{
		partition:    p,
		nowMS:        nowMS,
		outboxFull:   int64(len(p.outbox)) >= outboxEntriesMax,
		seen:         map[stock.Cell]stock.Position{},
		looked:       map[stock.Cell]bool{},
		cells:        map[stock.Cell]stock.CellState{},
		reservations: map[stock.ReservationID]stock.Reservation{},
		buyers:       map[buyer]int64{},
		held:         map[hold][]stock.ReservationID{},
		baskets:      map[stock.ReservationID]stock.BasketRecord{},
	}
}

func (s *step) cell(c stock.Cell) stock.CellState {
	s.looked[c] = true
	if state, ok := s.cells[c]; ok {
		return state
	}
	return s.partition.cell(c)
}

func (s *step) reservation(id stock.ReservationID) stock.Reservation {
	if r, ok := s.reservations[id]; ok {
		return r
	}
	return s.partition.reservations[id]
}

func (s *step) owned(b buyer) int64 {
	if units, ok := s.buyers[b]; ok {
		return units
	}
	return s.partition.buyers[b]
}

// see notes the highest position of each cell that any caller has seen. It runs before the first effect, because an effect
// would hide lost effects from callers that have seen more.
func (s *step) see(requests []stock.Request) {
	for i := range requests {
		if r := &requests[i]; s.seen[r.Cell].Less(r.Fence) {
			s.seen[r.Cell] = r.Fence
		}
	}
}

// decideAll decides the requests of a vector, those of one basket together.
func (s *step) decideAll(v *stock.Vector) error {
	if v.Op == stock.OpGather || v.Op == stock.OpVoid {
		for part := range stock.Parts(v.Requests) {
			if v.Op == stock.OpGather {
				v.Outcomes = append(v.Outcomes, s.gather(part)...)
			} else {
				v.Outcomes = append(v.Outcomes, s.void(part)...)
			}
		}
		return nil
	}
	for i := range v.Requests {
		outcome, err := s.decide(v.Op, &v.Requests[i])
		if err != nil {
			return err
		}
		v.Outcomes = append(v.Outcomes, outcome)
	}
	return nil
}

// decide decides one request, which sees the effects of those before it. An error refuses the whole vector.
func (s *step) decide(op stock.Op, r *stock.Request) (stock.Outcome, error) {
	switch op {
	case stock.OpReserve, stock.OpDeduct:
		return s.take(op, r), nil
	case stock.OpConfirm:
		return s.settle(r, stock.StateConfirmed), nil
	case stock.OpRelease:
		return s.settle(r, stock.StateReleased), nil
	case stock.OpExtend:
		return s.extend(r), nil
	case stock.OpReturn:
		return s.giveBackSold(r), nil
	case stock.OpAdjust:
		return s.adjust(r)
	case stock.OpDecide:
		return s.decideBasket(r), nil
	case stock.OpGather, stock.OpVoid: // together
	}
	return stock.Outcome{}, fmt.Errorf("%w: %v", stock.ErrProtocol, op)
}

// take reserves or deducts.
func (s *step) take(op stock.Op, r *stock.Request) stock.Outcome {
	before := s.reservation(r.ID)
	s.looked[r.Cell] = true
	if verdict := before.Repeat(r.Fingerprint); verdict != stock.VerdictOK {
		return answer(verdict, before)
	}
	if verdict := s.judgeTake(r); verdict != stock.VerdictOK {
		return answer(verdict, before)
	}
	if op == stock.OpReserve {
		return s.hold(r)
	}
	cell, taken := s.taken(r)
	cell.Sold += r.Quantity
	return s.effect(event.KindDeduct, cell, taken, event.Change{})
}

// judgeTake decides whether the units of a new request can be taken, and shuts the cell if the verdict shows a loss.
func (s *step) judgeTake(r *stock.Request) stock.Verdict {
	cell := s.cell(r.Cell)
	verdict := cell.Take(stock.Taking{
		Quantity:   r.Quantity,
		Owned:      s.owned(buyer{r.Cell, r.User}),
		Fence:      s.seen[r.Cell],
		NowMS:      s.nowMS,
		Registered: s.registered[registration{r.Cell.Pool, r.User}],
		Whole:      s.isWhole(r.Cell.Pool),
		OutboxFull: s.outboxFull,
		NoReplica:  s.noReplica,
		Default:    s.ack,
	})
	if verdict != stock.VerdictOK {
		s.shut(cell, verdict)
	}
	return verdict
}

// hold carries out a reserve.
func (s *step) hold(r *stock.Request) stock.Outcome {
	cell, taken := s.taken(r)
	cell.Held += r.Quantity
	taken.DeadlineMS = s.nowMS + cell.Hold.Milliseconds()
	return s.effect(event.KindReserve, cell, taken, event.Change{})
}

// taken takes units off avail, and counts them.
func (s *step) taken(r *stock.Request) (stock.CellState, stock.Reservation) {
	cell, user := s.cell(r.Cell), buyer{r.Cell, r.User}
	taken := stock.Reservation{
		ID: r.ID, Cell: r.Cell, User: r.User, Quantity: r.Quantity, Fingerprint: r.Fingerprint,
		Counted: cell.Limit != 0,
	}
	if taken.Counted {
		s.buyers[user] = s.owned(user) + r.Quantity
	}
	cell.Avail -= r.Quantity
	return cell, taken
}

// settle confirms or releases.
func (s *step) settle(r *stock.Request, wanted stock.State) stock.Outcome {
	before := s.reservation(r.ID)
	if verdict := before.Settle(wanted, r.User, s.nowMS); verdict != stock.VerdictOK {
		return answer(verdict, before)
	}
	cell := s.cell(before.Cell)
	if verdict := cell.Settle(before.Quantity); verdict != stock.VerdictOK {
		s.shut(cell, verdict)
		return answer(verdict, before)
	}
	if wanted == stock.StateReleased {
		return s.giveBack(event.KindRelease, cell, before)
	}
	cell.Held -= before.Quantity
	cell.Sold += before.Quantity
	return s.effect(event.KindConfirm, cell, before, event.Change{})
}

// extend moves the deadline of a held reservation.
func (s *step) extend(r *stock.Request) stock.Outcome {
	before := s.reservation(r.ID)
	if verdict := before.Extend(r.DeadlineMS, r.User, s.nowMS); verdict != stock.VerdictOK {
		return answer(verdict, before)
	}
	cell := s.cell(before.Cell)
	deadlineMS, verdict := cell.Extend(&before, r.DeadlineMS, s.outboxFull)
	if verdict != stock.VerdictOK {
		s.shut(cell, verdict)
		return answer(verdict, before)
	}
	before.ExtendedMS += deadlineMS - before.DeadlineMS
	before.DeadlineMS = deadlineMS
	return s.effect(event.KindExtend, cell, before, event.Change{})
}

// giveBackSold takes units back that were sold. The user's count, which may lack earlier purchases, refuses nothing.
func (s *step) giveBackSold(r *stock.Request) stock.Outcome {
	cell, before, user := s.cell(r.Cell), s.reservation(r.ID), buyer{r.Cell, r.User}
	if verdict := before.Repeat(r.Fingerprint); verdict != stock.VerdictOK {
		return answer(verdict, before)
	}
	if verdict := cell.Return(r.Quantity, s.outboxFull); verdict != stock.VerdictOK {
		s.shut(cell, verdict)
		return stock.Outcome{Verdict: verdict}
	}
	s.buyers[user] = max(0, s.owned(user)-r.Quantity)
	cell.Sold -= r.Quantity
	cell.Avail += r.Quantity
	record := stock.Reservation{ID: r.ID, Cell: r.Cell, User: r.User, Quantity: r.Quantity, Fingerprint: r.Fingerprint}
	return s.effect(event.KindReturn, cell, record, event.Change{Reason: r.Reason})
}

// expire expires the reservations of a member that are still held and due. againMS is the time to look at the member
// again, because a reservation waits for its deadline or for its shut cell. It is 0 if none waits.
func (s *step) expire(m member) (expired int, againMS int64) {
	wait := func(untilMS int64) {
		if againMS == 0 || untilMS < againMS {
			againMS = untilMS
		}
	}
	for _, id := range m.ids {
		r := s.reservation(id)
		switch {
		case r.State != stock.StateHeld:
			continue // settled in time
		case r.DeadlineMS > s.nowMS:
			wait(r.DeadlineMS) // extended, or forgotten and reserved again
			continue
		}
		cell := s.cell(r.Cell)
		if verdict := cell.Settle(r.Quantity); verdict != stock.VerdictOK {
			s.shut(cell, verdict)
			wait(s.nowMS + stock.ExpiryPostponed.Milliseconds())
			continue
		}
		s.giveBack(event.KindExpire, cell, r)
		expired++
	}
	return expired, againMS
}

// giveBack moves the units of a held reservation to avail, and off its user's limit. A return may have taken some off already.
func (s *step) giveBack(kind event.Kind, cell stock.CellState, r stock.Reservation) stock.Outcome {
	if r.Counted {
		user := buyer{r.Cell, r.User}
		s.buyers[user] = max(0, s.owned(user)-r.Quantity)
		r.Counted = false
	}
	cell.Held -= r.Quantity
	cell.Avail += r.Quantity
	return s.effect(kind, cell, r, event.Change{})
}

// adjust changes total and avail, settings, or both.
func (s *step) adjust(r *stock.Request) (stock.Outcome, error) {
	cell, before, a := s.cell(r.Cell), s.reservation(r.ID), r.Adjustment
	if verdict := before.Repeat(r.Fingerprint); verdict != stock.VerdictOK {
		return answer(verdict, before), nil
	}
	if verdict := cell.Adjust(a); verdict != stock.VerdictOK {
		s.shut(cell, verdict)
		return answer(verdict, before), nil
	}
	if !cell.HasRoom(a.Delta) {
		return stock.Outcome{}, fmt.Errorf("%w: %v would have %d units", stock.ErrProtocol, r.Cell, cell.Total+a.Delta)
	}
	if a.Create {
		cell = stock.CellState{Cell: r.Cell, Loaded: true, Position: stock.Position{Epoch: 1}, Settings: a.Settings}
	}
	cell.Avail += a.Delta
	cell.Total += a.Delta
	cell.Settings = cell.With(a.Fields, a.Settings)
	record := stock.Reservation{ID: r.ID, Cell: r.Cell, User: r.User, Fingerprint: r.Fingerprint}
	change := event.Change{Delta: a.Delta, Fields: a.Fields, Settings: cell.Settings, Reason: a.Reason}
	return s.effect(event.Kind(a.Kind), cell, record, change), nil
}

// effect notes one effect: the changed cell, the record in its new state, and the event.
func (s *step) effect(kind event.Kind, cell stock.CellState, r stock.Reservation, change event.Change) stock.Outcome {
	cell.Seq++
	r.Seq = cell.Seq
	r.State = kind.State()
	if r.State == stock.StateHeld {
		h := hold{r.DeadlineMS, r.Cell.Pool}
		s.held[h] = append(s.held[h], r.ID)
	} else {
		r.ExtendedMS = 0
		s.finished = append(s.finished, r.ID)
	}
	s.cells[r.Cell] = cell
	s.reservations[r.ID] = r
	s.events = append(s.events, event.Event{
		Kind: kind, Reservation: r.ID, User: r.User, Quantity: r.Quantity, Fingerprint: r.Fingerprint,
		Cell: r.Cell, Position: cell.Position, Avail: cell.Avail, Held: cell.Held, Sold: cell.Sold,
		DeadlineMS: r.DeadlineMS, Change: change,
	})
	return stock.Outcome{Verdict: stock.VerdictOK, Reservation: r}
}

// shut flags a cell fenced or breached. That is no effect and has no event.
func (s *step) shut(cell stock.CellState, verdict stock.Verdict) {
	if !cell.Loaded {
		return
	}
	cell.Fenced = cell.Fenced || verdict == stock.VerdictFenced
	cell.Breached = cell.Breached || verdict == stock.VerdictBreached
	s.cells[cell.Cell] = cell
}

// commit writes the decisions, and the events as one entry of the outbox.
func (s *step) commit(retentionMS int64) stock.Entry {
	maps.Copy(s.partition.cells, s.cells)
	maps.Copy(s.partition.reservations, s.reservations)
	s.commitBaskets()
	for b, units := range s.buyers {
		if units == 0 {
			delete(s.partition.buyers, b)
		} else {
			s.partition.buyers[b] = units
		}
	}
	for _, h := range slices.SortedFunc(maps.Keys(s.held), func(a, b hold) int { return cmp.Compare(a.deadlineMS, b.deadlineMS) }) {
		s.due = add(s.due, newMember(h.deadlineMS, h.pool, s.held[h])) // the later of two deadlines of one vector stays
	}
	if len(s.finished) > 0 {
		s.gone = add(s.gone, newMember(s.nowMS+retentionMS, 0, s.finished))
	}
	if len(s.events) == 0 {
		return stock.Entry{}
	}
	return s.appendEntry(s.nowMS, event.Append(nil, event.Batch{
		Partition: s.number, TimeMS: s.nowMS, Events: s.events,
	}))
}

// answer returns a refusal or a replay, with the record if the verdict is about one.
func answer(verdict stock.Verdict, r stock.Reservation) stock.Outcome {
	if verdict == stock.VerdictReplayed || verdict == stock.VerdictWrongState {
		return stock.Outcome{Verdict: verdict, Reservation: r}
	}
	return stock.Outcome{Verdict: verdict}
}
