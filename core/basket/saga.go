// Package basket decides baskets whose lines are in several partitions: all lines are held, or none. Any process may
// decide a basket. Several may decide the same basket at once. Each may be killed at any time. The package does no I/O
// of its own.
//
// The smallest line of a basket is the one with the lowest cell. Its partition is the basket's home and has the
// basket's record. The script gather takes the lines at home and writes the record: begun if there are lines elsewhere,
// held if there are none, refusing if it refuses a line. So no line elsewhere is held before the basket is begun. The
// script decide changes begun to held or refusing, once. The script void gives the lines of a refusing basket back, and
// makes it refused at the end. No caller hears that a basket is held before its record says so.
package basket

import (
	"errors"
	"fmt"
	"slices"

	"sluice/core/stock"
)

// Saga decides one basket. Scripts decide about stock, not the saga.
type Saga struct {
	basket *stock.Basket
	parts  [][]stock.Line
	at     stage
	tries  int
	intact bool            // the basket is begun, and nobody has decided it before this saga
	lines  []stock.Outcome // the last answer about each line
	timeMS int64           // Redis time of the earliest answer about them
	result Result
}

// stage names the calls that a saga has asked for.
type stage uint8

const (
	start         stage = iota
	askHome             // gather the lines at home, and read the record
	askAway             // gather the other lines
	readAway            // read the other lines of a begun basket that is not intact
	writeDecision       // write the decision into the record
	voidAway            // void the lines elsewhere; the record is refusing
	voidHome            // void the lines at home; the record becomes refused
	readHeld            // read the other lines of a held basket
	done
)

// String names the stage, for tests that stop a saga there.
func (s stage) String() string {
	return [...]string{"start", "home", "away", "read away", "decide", "void away", "void home", "read held", "done"}[s]
}

// triesMax is the number of attempts of a saga, the first included. A saga begins again if its record was lost, or if
// others have decided otherwise.
const triesMax = 3

// Call is one script call, about all lines of the basket in one partition, or about its record. All calls of a step may
// be made at once.
type Call struct {
	Op       stock.Op
	Requests []stock.Request
}

// Answer is the answer to a call.
type Answer struct {
	Outcomes []stock.Outcome
	TimeMS   int64 // Redis time
	Err      error
}

// Result says how a basket has ended.
type Result struct {
	// State is BasketHeld, BasketRefusing, BasketRefused or BasketNone. To a caller, refusing and refused mean the
	// same. BasketNone means that the basket was not begun, and nothing has happened.
	State   stock.BasketState
	Refusal stock.Verdict   // of a line, unless the basket is held
	Line    int             // the line that is refused
	Lines   []stock.Outcome // the reservations of a held basket. If Redis has forgotten one, its state is StateNone
	TimeMS  int64           // Redis time of the earliest answer about the lines
	First   bool            // this saga made the basket held; false if it was held before
}

// ErrLost means that the record of a basket was lost again and again. The same basket may be decided later.
var ErrLost = errors.New("the record of the basket was lost")

// New returns the saga of a basket. Others may have begun the basket already: the first answer tells how far it is.
func New(b *stock.Basket) *Saga {
	return &Saga{basket: b, parts: b.Parts(), lines: make([]stock.Outcome, len(b.Lines))}
}

// Stage names the calls that the saga has asked for last.
func (s *Saga) Stage() string { return s.at.String() }

// Step takes the answers to the calls of the step before, in their order, and returns the next calls. If it returns none, the
// saga has ended.
func (s *Saga) Step(answers []Answer) ([]Call, error) {
	for _, a := range answers {
		if a.Err != nil {
			return s.failed(a.Err)
		}
	}
	switch s.at {
	case start:
		return s.ask(askHome), nil
	case askHome:
		return s.fromHome(answers[0])
	case askAway:
		s.keepAway(answers)
		return s.decide()
	case readAway:
		s.keepAway(answers)
		if s.hasEnded() {
			return s.decide()
		}
		return s.ask(askAway), nil
	case writeDecision:
		return s.decided(answers[0].Outcomes[0])
	case voidAway:
		for _, a := range answers {
			if stuck(a.Outcomes) {
				return s.end(stock.BasketRefusing), nil // a sweeper goes on when the cell is open again
			}
		}
		return s.ask(voidHome), nil
	case voidHome:
		if stuck(answers[0].Outcomes) {
			return s.end(stock.BasketRefusing), nil
		}
		return s.end(stock.BasketRefused), nil
	case readHeld:
		s.keepAway(answers)
		return s.end(stock.BasketHeld), nil
	case done:
	}
	return nil, nil
}

// fromHome goes on after the answer of gather at home, which has the record and the lines at home.
func (s *Saga) fromHome(a Answer) ([]Call, error) {
	s.timeMS = a.TimeMS
	copy(s.lines, a.Outcomes)
	home := s.lines[:len(a.Outcomes)]
	b := a.Outcomes[0].Basket
	s.intact = b.Intact
	switch b.State {
	case stock.BasketBegun:
		refusal, _ := refusalOf(home)
		switch {
		case len(s.parts) > 1 && !s.intact && (refusal == stock.VerdictOK || refusal == stock.VerdictWrongState):
			return s.ask(readAway), nil // nothing is taken for a basket of which a line has ended
		case len(s.parts) > 1 && refusal == stock.VerdictOK:
			return s.ask(askAway), nil
		}
		return s.decide()
	case stock.BasketHeld:
		s.result.First = a.Outcomes[0].Verdict == stock.VerdictOK
		if len(s.parts) == 1 {
			return s.end(stock.BasketHeld), nil
		}
		return s.ask(readHeld), nil
	case stock.BasketRefusing, stock.BasketRefused:
		return s.refuse(b), nil
	case stock.BasketNone:
	}
	s.result.Refusal, s.result.Line = first(home, refuses) // the one for which the script wrote no record
	return s.end(stock.BasketNone), nil
}

// decide goes on when all lines of a begun basket are known. If only passing verdicts refuse lines, the saga ends, and the
// basket stays begun. A later saga decides it: when the verdicts have passed, or when the hold of a line has ended.
func (s *Saga) decide() ([]Call, error) {
	if refusal, line := s.refusal(); refusal.Passing() {
		return nil, fmt.Errorf("line %d of it is %v", line, refusal)
	}
	return s.ask(writeDecision), nil
}

// decided goes on after the answer of decide, which has the record.
func (s *Saga) decided(o stock.Outcome) ([]Call, error) {
	refusal, _ := s.refusal()
	switch o.Basket.State {
	case stock.BasketHeld:
		if refusal == stock.VerdictOK {
			s.result.First = o.Verdict == stock.VerdictOK
			return s.end(stock.BasketHeld), nil
		}
		return s.again() // another process holds the line that was refused here
	case stock.BasketRefusing, stock.BasketRefused:
		return s.refuse(o.Basket), nil
	case stock.BasketNone, stock.BasketBegun:
	}
	return s.again() // the record was lost, or set back
}

// refuse gives the lines of a refusing basket back. If the basket is refused, others have done so.
func (s *Saga) refuse(b stock.BasketRecord) []Call {
	s.result.State, s.result.Refusal, s.result.Line = b.State, b.Refusal, int(b.Line)
	switch {
	case b.State == stock.BasketRefused:
		return s.end(b.State)
	case len(s.parts) == 1:
		return s.ask(voidHome)
	}
	return s.ask(voidAway)
}

// failed ends a saga whose call has failed. If the basket is refusing already, the saga returns this instead of the
// error, because the refusal is certain. A sweeper gives the lines back.
func (s *Saga) failed(err error) ([]Call, error) {
	if s.result.State == stock.BasketRefusing {
		return s.end(stock.BasketRefusing), nil
	}
	return nil, err
}

func (s *Saga) again() ([]Call, error) {
	if s.tries++; s.tries == triesMax {
		return nil, ErrLost
	}
	return s.ask(askHome), nil
}

func (s *Saga) end(state stock.BasketState) []Call {
	s.at, s.result.State = done, state
	if state == stock.BasketHeld {
		s.result.Lines, s.result.TimeMS = s.lines, s.timeMS
	}
	return nil
}

// Result returns the result of a saga that has ended.
func (s *Saga) Result() Result { return s.result }

// keepAway keeps the answers about the lines elsewhere.
func (s *Saga) keepAway(answers []Answer) {
	at := len(s.parts[0])
	for _, a := range answers {
		at += copy(s.lines[at:], a.Outcomes)
		s.timeMS = min(s.timeMS, a.TimeMS)
	}
}

// hasEnded reports whether a line has ended, after all were read. It gives the lines the verdicts that gather has for them then.
func (s *Saga) hasEnded() (ended bool) {
	for i := range s.lines {
		l := &s.lines[i]
		switch state := l.Reservation.StateAt(s.timeMS); {
		case l.Verdict == stock.VerdictUnknownReservation:
			l.Verdict = stock.VerdictRefused // it is free, and not to be taken
		case l.Verdict == stock.VerdictReplayed && state != stock.StateHeld && state != stock.StateConfirmed:
			l.Verdict = stock.VerdictWrongState
		}
		ended = ended || l.Verdict == stock.VerdictWrongState
	}
	return ended
}

// refusal returns the verdict that refuses the basket, and its line. Lines that have ended refuse no basket that may have been
// held before, whose record was lost: somebody may have been told that its other lines are held.
func (s *Saga) refusal() (stock.Verdict, int) {
	if !s.intact && stock.WasHeld(s.lines, s.timeMS) {
		return stock.VerdictOK, 0
	}
	return refusalOf(s.lines)
}

// refusalOf returns the verdict that refuses the basket, and its line: the first that does not pass by itself, or else the
// first one. If no line is refused, the verdict is VerdictOK.
func refusalOf(lines []stock.Outcome) (stock.Verdict, int) {
	if v, line := first(lines, func(v stock.Verdict) bool { return refuses(v) && !v.Passing() }); v != stock.VerdictOK {
		return v, line
	}
	return first(lines, refuses)
}

// refuses reports whether a line is refused, and not only because its basket is.
func refuses(v stock.Verdict) bool { return v.Refused() && v != stock.VerdictRefused }

// first returns the first such verdict and its line, or VerdictOK.
func first(lines []stock.Outcome, such func(stock.Verdict) bool) (stock.Verdict, int) {
	for i := range lines {
		if such(lines[i].Verdict) {
			return lines[i].Verdict, i
		}
	}
	return stock.VerdictOK, 0
}

// stuck reports whether a line could not be given back, because its cell is shut.
func stuck(lines []stock.Outcome) bool {
	return slices.ContainsFunc(lines, func(o stock.Outcome) bool { return o.Verdict.Stuck() })
}

// ask returns the calls of a stage.
func (s *Saga) ask(next stage) []Call {
	s.at = next
	switch next {
	case askHome:
		return []Call{s.part(stock.OpGather, 0, stock.Part{})}
	case askAway:
		return s.elsewhere(stock.OpGather, stock.Part{})
	case readAway, readHeld:
		return s.elsewhere(stock.OpGather, stock.Part{Held: true})
	case voidAway:
		return s.elsewhere(stock.OpVoid, stock.Part{})
	case voidHome:
		return []Call{s.part(stock.OpVoid, 0, stock.Part{})}
	case writeDecision:
		part := stock.Part{Home: s.basket, To: stock.BasketHeld, Intact: s.intact}
		if refusal, line := s.refusal(); refusal != stock.VerdictOK {
			part.To, part.Refusal, part.Line = stock.BasketRefusing, refusal, uint8(line)
		}
		return []Call{{stock.OpDecide, []stock.Request{{ID: s.basket.ID(), Cell: s.basket.Lines[0].Cell, Part: &part}}}}
	case start, done:
	}
	return nil
}

// elsewhere returns a call for each partition that is not the home.
func (s *Saga) elsewhere(op stock.Op, part stock.Part) []Call {
	var calls []Call
	for n := 1; n < len(s.parts); n++ {
		calls = append(calls, s.part(op, n, part))
	}
	return calls
}

// part returns a call about the lines of one partition.
func (s *Saga) part(op stock.Op, n int, part stock.Part) Call {
	if n == 0 {
		part.Home = s.basket
	}
	call := Call{Op: op, Requests: make([]stock.Request, len(s.parts[n]))}
	for i, l := range s.parts[n] {
		call.Requests[i] = stock.Request{
			ID: l.ID, Cell: l.Cell, User: s.basket.User, Quantity: l.Quantity, Fingerprint: s.basket.Fingerprint, Part: &part,
		}
	}
	return call
}

// Decide decides a basket. ask makes all calls of a step at once, and returns their answers in order. If the first call
// fails, Decide returns its error, which says whether the basket may be begun. If a later call fails, the basket is
// begun, and the error is a stock.ErrUnknown. Deciding the basket again, here or elsewhere, tells the outcome.
//
// between is nil, except in programs of tests: it is called with the stage before each step, so that the program can
// end there.
func Decide(b *stock.Basket, ask func(calls []Call) []Answer, between func(stage string)) (Result, error) {
	s := New(b)
	var answers []Answer
	for {
		begun := s.at > askHome || s.tries > 0
		calls, err := s.Step(answers)
		if err != nil && begun {
			return Result{}, unknown(err)
		} else if err != nil {
			return Result{}, err
		}
		if len(calls) == 0 {
			return s.Result(), nil
		}
		if between != nil {
			between(s.Stage())
		}
		answers = ask(calls)
	}
}
