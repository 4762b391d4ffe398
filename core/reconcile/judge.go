package reconcile

import (
	"fmt"
	"slices"

	"sluice/core/ledger"
	"sluice/core/stock"
)

func isFork(reason string) bool { return reason == ledger.ReasonFork }

// Judge says how a cell compares. It has all the rules, and decides by the view alone.
func Judge(v *View) Judgement {
	j := judge{View: v}
	switch {
	case v.Unread != "":
		return unverified(v, InRedis, v.Unread)
	case v.Redis == nil:
		return j.lost()
	}
	j.chain = newChain(v)
	j.tail()
	j.forks()
	j.gaps()
	j.letters()
	j.counters()
	j.projection()
	j.holds()
	if v.condensed != nil {
		var even bool
		even, j.odd = v.condensed.even(j.list)
		j.uneven = !even
	}
	j.buyers()
	j.planShift()
	j.refuse()
	order(j.findings)
	return j.result()
}

// unverified judges a cell about which nobody can tell, and says why.
func unverified(v *View, store Store, why string) Judgement {
	f := finding(Unverifiable, v.Cell, 0, Bookkeeping, v.NowMS, Proof{Store: store, Says: why})
	return Judgement{Class: Unverified, Findings: []Finding{f}, Steps: []RepairStep{cannot(&f, whyNot(Unverifiable))}}
}

// judge is a judgement that is under way.
type judge struct {
	*View
	*chain

	findings []Finding
	steps    []RepairStep
	amended  map[stock.ReservationID]*stock.Reservation // records as the planned steps leave them
	told     map[stock.Position]bool                    // positions of letters that another finding has as proof
	untold   bool                                       // held units belong to reservations that only older events know
	short    int64                                      // units of held reservations that the counters do not have as held
	unsure   bool                                       // only later events of some reservation are known

	limitless bool // a step needs Limits
	uneven    bool // the condensed reservations do not agree
	odd       []stock.ReservationID
}

func (j *judge) add(t Type, units int64, way Direction, sinceMS int64, proof ...Proof) {
	if len(proof) > proofsMax {
		left := len(proof) - proofsMax + 1
		proof = append(proof[:proofsMax-1:proofsMax-1], Proof{Store: proof[proofsMax].Store, Says: fmt.Sprintf("and %d rows more", left)})
	}
	if sinceMS == 0 {
		sinceMS = j.NowMS
	}
	j.findings = append(j.findings, finding(t, j.Cell, units, way, sinceMS, proof...))
}

func (j *judge) has(t Type) bool {
	for i := range j.findings {
		if j.findings[i].Type == t {
			return true
		}
	}
	return false
}

func (j *judge) result() Judgement {
	out := Judgement{Class: InSync, Findings: j.findings, Steps: j.steps, nameless: j.untold, limitless: j.limitless, uneven: j.uneven, odd: j.odd}
	for i := range j.list {
		if e := &j.list[i]; e.Store != InLedger && !j.Redis.Less(e.Position) {
			out.Behind++
		}
	}
	switch {
	case slices.ContainsFunc(j.findings, func(f Finding) bool { return f.Type != Unverifiable }):
		out.Class = Drift
	case len(j.findings) > 0:
		out.Class = Unverified
	case out.Behind > 0:
		out.Class = InFlight
	}
	return out
}

// inRedis returns the counters as proof.
func (j *judge) inRedis(says string) Proof {
	return Proof{Store: InRedis, Says: says, Epoch: j.Redis.Epoch, Seq: j.Redis.Seq, Counters: counted(j.Redis.Balances)}
}

// lost judges a cell that Redis does not have.
func (j *judge) lost() Judgement {
	var last *Event
	for i := range j.Events {
		if e := &j.Events[i]; last == nil || last.Less(e.Position) {
			last = e
		}
	}
	const gone = "Redis has no such cell"
	switch {
	case last != nil:
		b := last.after()
		j.add(LostTail, max(b.Total, last.units()), direction(stock.Balances{}, b), last.TimeMS, Proof{Store: InRedis, Says: gone}, last.proof("the last event"))
	case j.Projection != nil:
		p := j.Projection
		j.add(LostTail, p.Total, direction(stock.Balances{}, p.Balances), j.UpdatedMS, Proof{Store: InRedis, Says: gone}, j.inStock("as it was"))
	case j.onlySeen():
		l := j.Lost
		j.add(LostTail, l.Total, direction(stock.Balances{}, l.Balances), l.TimeMS, Proof{Store: InRedis, Says: gone + ", and no store has an event of it"},
			Proof{Store: InEdges, Says: "as an edge saw it last", Epoch: l.Epoch, Seq: l.Seq, Counters: counted(l.Balances)})
	}
	for i := range j.Records {
		if r := &j.Records[i]; last == nil && j.Projection == nil && r.State == stock.StateHeld {
			j.add(OrphanReservation, r.Quantity, Oversell, j.NowMS, recordProof(r, gone))
			j.planRecord(OrphanReservation, r.Quantity, Oversell, r, &stock.Reservation{ID: r.ID})
		}
	}
	switch {
	case len(j.findings) > 0:
		j.refuse()
		return Judgement{Class: Drift, Findings: j.findings, Steps: j.steps}
	case last == nil && j.Projection == nil && len(j.Records)+len(j.Letters) == 0:
		return Judgement{Class: Absent}
	}
	return Judgement{Class: InSync}
}

// onlySeen reports whether nobody but an edge knows of the cell any more.
func (j *judge) onlySeen() bool {
	return j.Lost != nil && j.Redis == nil && j.Projection == nil && len(j.Events) == 0
}

func (j *judge) inStock(says string) Proof {
	p := j.Projection
	return Proof{Store: InStock, Says: says, Epoch: p.Epoch, Seq: p.Seq, Counters: counted(p.Balances)}
}

// tail looks for events that Redis has lost.
func (j *judge) tail() {
	if !j.Redis.Less(j.Known) {
		return
	}
	proof := []Proof{j.inRedis("as far as Redis has come")}
	var last *Event
	var units, sinceMS int64
	for i := range j.list {
		e := &j.list[i]
		if !j.Redis.Less(e.Position) || j.Known.Less(e.Position) {
			continue
		}
		if last == nil {
			sinceMS = e.TimeMS
		}
		last = e
		proof = append(proof, e.proof("Redis lacks it"))
	}
	way := Bookkeeping
	if last != nil {
		way = direction(j.Redis.Balances, j.afterOf(last))
		units = moved(j.Redis.Balances, j.afterOf(last))
	} else {
		proof = append(proof, Proof{Store: InLetters, Says: "the highest event that is known", Epoch: j.Known.Epoch, Seq: j.Known.Seq})
		sinceMS = j.NowMS
	}
	j.add(LostTail, units, way, sinceMS, proof...)
}

// forks finds positions that two events have.
func (j *judge) forks() {
	for _, pair := range j.rivals {
		a, b := &pair[0], &pair[1]
		j.add(Fork, max(a.units(), b.units()), direction(b.after(), a.after()), a.TimeMS, a.proof("one event"), b.proof("another one at the same place"))
	}
	for i := range j.late {
		e := &j.late[i]
		j.add(Fork, e.units(), Bookkeeping, e.TimeMS, e.proof("it came after a rebase had declared it lost"))
	}
	for _, b := range j.breaches {
		if b.edited {
			should := b.at.applied(b.left)
			j.add(Fork, moved(b.at.after(), should), Bookkeeping, b.sinceMS, b.at.proof("the ledger's row"),
				Proof{Store: InLedger, Says: "what it should have left, as the events around it tell", Epoch: b.at.Epoch, Seq: b.at.Seq, Counters: counted(should)})
			j.tell(b.at.Position)
		}
	}
}

// tell notes that a finding explains the letters at a position.
func (j *judge) tell(m stock.Position) {
	if j.told == nil {
		j.told = map[stock.Position]bool{}
	}
	j.told[m] = true
}

// gaps finds events that no store has. An event that is a dead letter is not missing.
func (j *judge) gaps() {
	in := map[stock.Position]bool{}
	for _, l := range j.Letters {
		in[l.Position] = true
	}
	var units, planned, sinceMS int64
	var proof []Proof
	var again EventsAgain
	for _, s := range j.missing {
		letters := uint64(0)
		for m := range in {
			if s.has(m) {
				letters++
			}
		}
		if letters == s.last-s.first+1 {
			continue
		}
		if len(proof) == 0 {
			sinceMS, again.SinceMS = s.sinceMS, s.sinceMS
		}
		units += moved(s.left, s.found)
		if len(again.Spans) < spansMax {
			again.SinceMS = min(again.SinceMS, s.sinceMS)
			again.Spans = append(again.Spans, SeqSpan{s.epoch, s.first, s.last})
			planned += moved(s.left, s.found)
		}
		proof = append(proof, Proof{Store: InLedger, Says: s.says(), Epoch: s.epoch, Seq: s.first, Units: moved(s.left, s.found)})
		for i := range j.Records {
			if r := &j.Records[i]; s.first <= r.Seq && r.Seq <= s.last {
				proof = append(proof, recordProof(r, "its last event is missing"))
			}
		}
	}
	if len(proof) > 0 {
		j.add(Gap, units, Bookkeeping, sinceMS, append(proof, j.inRedis("as far as Redis has come"))...)
		j.plan(Gap, planned, Bookkeeping, Act{Events: &again}, "Kafka still has "+again.text(), "they are published again, and persisters apply them")
	}
}

// letters finds dead letters.
func (j *judge) letters() {
	for _, b := range j.breaches {
		j.tell(b.at.Position) // the finding about what broke the chain explains this letter
	}
	for _, l := range j.Letters {
		if l.Reason == ledger.ReasonBroken && j.told[l.Position] {
			continue
		}
		t, way := DeadLetter, Bookkeeping
		if isFork(l.Reason) {
			t, way = Fork, Oversell // until somebody rebuilds the cell, nobody knows which of the two events Redis has
			if e := j.at(l.Position); e != nil && !e.Kind.Adjusts() && e.before().Avail < e.after().Avail {
				way = Undersell
			}
		}
		proof := []Proof{{Store: InLetters, Says: l.Reason + " " + l.ID, Epoch: l.Epoch, Seq: l.Seq, Units: l.Units}}
		if e := j.at(l.Position); e != nil {
			proof = append(proof, e.proof("what the ledger has there"))
		}
		j.add(t, l.Units, way, l.TimeMS, proof...)
		if t == DeadLetter && ledger.Replays(l.Reason) {
			j.steps = append(j.steps, replayStep(j.Cell, l.Units, l.ID))
		} else if t == DeadLetter && l.Reason == ledger.ReasonBroken && j.corrected(l.Position) {
			j.plan(t, l.Units, way, Act{Settled: l.ID}, "a rebase has put right what the letter tells of", "the letter is resolved")
		}
	}
}

// corrected reports whether somebody has put the balances right since a position.
func (j *judge) corrected(since stock.Position) bool {
	return slices.ContainsFunc(j.list, func(e Event) bool { return e.Corrects() && since.Less(e.Position) })
}

// counters finds counters that no event explains: those that Redis has now, and those that later events found.
func (j *judge) counters() {
	j.found()
	e := j.at(j.Redis.Position)
	if e == nil || j.forked[e.Position] {
		return
	}
	if want := j.afterOf(e); want != j.Redis.Balances {
		j.add(CounterEdit, moved(j.Redis.Balances, want), direction(j.Redis.Balances, want), e.TimeMS,
			j.inRedis("the counters"), e.proof("what the last event left"))
	}
}

// found reports counters that later events found, and that no event has left.
func (j *judge) found() {
	for _, b := range j.breaches {
		if !b.edited {
			j.add(CounterEdit, moved(b.found, b.left), direction(b.found, b.left), b.sinceMS, b.at.proof("it found other counters than were left to it"),
				Proof{Store: InLedger, Says: "what was left to it", Epoch: b.at.Epoch, Seq: b.at.Seq - 1, Counters: counted(b.left)})
		}
	}
}

// projection compares the row of the stock table with the ledger. Both are of one moment.
func (j *judge) projection() {
	last := j.lastInLedger()
	if last == nil && j.Projection == nil {
		return
	}
	switch p := j.Projection; {
	case p == nil:
		j.add(ProjectionStale, moved(stock.Balances{}, j.afterOf(last)), Bookkeeping, last.TimeMS,
			Proof{Store: InStock, Says: "no row"}, last.proof("the last event"))
		j.planStock(moved(stock.Balances{}, j.afterOf(last)), last)
	case last != nil && j.forked[last.Position]:
	case last != nil && (p.Less(last.Position) || p.Position == last.Position && p.Balances != j.afterOf(last)):
		j.add(ProjectionStale, moved(p.Balances, j.afterOf(last)), Bookkeeping, last.TimeMS, j.inStock("the row"), last.proof("the last event"))
		j.planStock(moved(p.Balances, j.afterOf(last)), last)
	case (last == nil || last.Less(p.Position)) && !j.isMissing(p.Position) && p.Position != j.Known:
		proof, units := []Proof{j.inStock("the row is ahead of the ledger")}, int64(0)
		sinceMS := j.UpdatedMS
		if last != nil {
			proof, units = append(proof, last.proof("the last event")), moved(p.Balances, j.afterOf(last))
			sinceMS = last.TimeMS
		}
		j.add(ProjectionStale, units, Bookkeeping, sinceMS, proof...)
		if last != nil {
			j.planStock(units, last)
		}
	}
}
