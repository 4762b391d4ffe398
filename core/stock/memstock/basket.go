package memstock

import (
	"context"
	"maps"
	"slices"
	"time"

	"sluice/core/event"
	"sluice/core/stock"
)

// basket returns the record of a basket, from its home.
func (s *step) basket(id stock.ReservationID) stock.BasketRecord {
	if b, ok := s.baskets[id]; ok {
		return b
	}
	return s.partition.baskets[id]
}

// gather takes the lines of a basket, all or none.
func (s *step) gather(requests []stock.Request) []stock.Outcome {
	outcomes := make([]stock.Outcome, len(requests))
	part, print, id := requests[0].Part, requests[0].Fingerprint, requests[0].ID
	var before stock.BasketRecord
	if part.Home != nil {
		before = s.basket(id)
		if verdict := before.Gather(print); verdict != stock.VerdictOK {
			return refuseAll(outcomes, verdict, before)
		}
	}
	held := part.Held || before.State == stock.BasketHeld
	why, line, fresh := stock.VerdictOK, 0, true
	for i := range requests {
		outcomes[i] = s.judgeLine(&requests[i], held)
		fresh = fresh && outcomes[i].Verdict == stock.VerdictOK
		if why == stock.VerdictOK && outcomes[i].Verdict.Refused() {
			why, line = outcomes[i].Verdict, i
		}
	}
	for i := range requests {
		switch {
		case outcomes[i].Verdict != stock.VerdictOK:
		case why != stock.VerdictOK:
			outcomes[i].Verdict = stock.VerdictRefused
		default:
			outcomes[i] = s.hold(&requests[i])
		}
	}
	if part.Home != nil {
		after := before.Gathered(print, len(part.Home.Lines) == len(requests), fresh, why, line)
		outcomes[0].Basket = after
		s.moveBasket(part.Home, before, after)
	}
	return outcomes
}

// refuseAll gives all lines of a part the verdict on their basket.
func refuseAll(outcomes []stock.Outcome, verdict stock.Verdict, b stock.BasketRecord) []stock.Outcome {
	for i := range outcomes {
		outcomes[i].Verdict = verdict
	}
	if verdict != stock.VerdictMismatch {
		outcomes[0].Basket = b
	}
	return outcomes
}

// judgeLine says whether a line is to be taken, and can be.
func (s *step) judgeLine(r *stock.Request, basketHeld bool) stock.Outcome {
	before := s.reservation(r.ID)
	if verdict := before.Gather(r.Fingerprint, basketHeld, s.nowMS); verdict != stock.VerdictOK {
		return answer(verdict, before)
	}
	return stock.Outcome{Verdict: s.judgeTake(r)}
}

// moveBasket notes the record of a basket, and whether somebody still has to decide it.
func (s *step) moveBasket(b *stock.Basket, before, after stock.BasketRecord) {
	if before == after {
		return
	}
	id := b.ID()
	s.baskets[id] = after
	if after.State.Decided() {
		s.decided = append(s.decided, id)
	} else if before.State == stock.BasketNone {
		s.begun = append(s.begun, stock.Undecided{Basket: *b, SinceMS: s.nowMS})
	}
}

// decideBasket moves the record of a basket.
func (s *step) decideBasket(r *stock.Request) stock.Outcome {
	part := r.Part
	before := s.basket(r.ID)
	verdict := before.Decide(part.Home.Fingerprint, part.To, part.Intact)
	if verdict == stock.VerdictMismatch {
		return stock.Outcome{Verdict: verdict}
	}
	after := before
	if verdict == stock.VerdictOK {
		after.State, after.Intact = part.To, false
		if part.To == stock.BasketRefusing {
			after.Refusal, after.Line = part.Refusal, part.Line
		}
		s.moveBasket(part.Home, before, after)
	}
	return stock.Outcome{Verdict: verdict, Basket: after}
}

// void gives the lines of a refusing basket back, and writes a released record for each line that nobody has taken. At
// home it then makes the basket refused, unless the cell of a line is shut.
func (s *step) void(requests []stock.Request) []stock.Outcome {
	outcomes := make([]stock.Outcome, len(requests))
	home, print, id := requests[0].Part.Home, requests[0].Fingerprint, requests[0].ID
	var before stock.BasketRecord
	if home != nil {
		before = s.basket(id)
		if verdict := before.Void(print); verdict != stock.VerdictOK {
			return refuseAll(outcomes, verdict, before)
		}
	}
	stuck := false
	for i := range requests {
		outcomes[i] = s.voidLine(&requests[i])
		stuck = stuck || outcomes[i].Verdict.Stuck()
	}
	if home != nil {
		after := before
		if !stuck {
			after.State = stock.BasketRefused
		}
		outcomes[0].Basket = after
		s.moveBasket(home, before, after)
	}
	return outcomes
}

func (s *step) voidLine(r *stock.Request) stock.Outcome {
	before := s.reservation(r.ID)
	verdict := before.Void(r.Fingerprint, s.nowMS)
	if verdict == stock.VerdictUnknownReservation {
		s.reservations[r.ID] = r.Spent()
		s.finished = append(s.finished, r.ID)
	}
	if verdict != stock.VerdictOK {
		return answer(verdict, before)
	}
	cell := s.cell(before.Cell)
	if verdict := cell.Settle(before.Quantity); verdict != stock.VerdictOK {
		s.shut(cell, verdict)
		return stock.Outcome{Verdict: verdict}
	}
	return s.giveBack(event.KindRelease, cell, before)
}

// commitBaskets writes the changed records of baskets.
func (s *step) commitBaskets() {
	maps.Copy(s.partition.baskets, s.baskets)
	s.undecided = append(s.undecided, s.begun...)
	s.undecided = slices.DeleteFunc(s.undecided, func(u stock.Undecided) bool { return slices.Contains(s.decided, u.ID()) })
}

// Baskets reads the records of baskets.
func (s *Store) Baskets(_ context.Context, ids []stock.ReservationID) ([]stock.BasketRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make([]stock.BasketRecord, len(ids))
	for i, id := range ids {
		p, err := s.partition(id.Partition())
		if err != nil {
			return nil, err
		}
		found[i] = p.baskets[id]
	}
	return found, nil
}

// Undecided reads baskets that are not decided.
func (s *Store) Undecided(_ context.Context, partition int, age time.Duration, skip, limit int) ([]stock.Undecided, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.partition(partition)
	if err != nil {
		return nil, err
	}
	var found []stock.Undecided
	for _, u := range p.undecided {
		if u.SinceMS > s.now()-age.Milliseconds() {
			continue
		}
		if skip--; skip < 0 && len(found) < limit {
			found = append(found, u)
		}
	}
	return found, nil
}
