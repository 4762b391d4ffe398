// Package basket decides baskets whose lines are in several partitions: all lines are held, or none. Any process may decide
// any basket, several at once the same one, and each may end at any moment. It does no I/O of its own.
//
// A basket has a record in its home, the partition of its smallest line: begun, then held, or refusing and then refused. The
// script that takes the lines at home writes the record, so a basket is begun before any line elsewhere is held. Only begun
// baskets are decided, once. Nobody is told that a basket is held before its record says so.
package basket

import (
	"errors"
	"slices"

	"sluice/core/stock"
)

// Saga is a basket on its way. It decides nothing about stock: the scripts do.
type Saga struct {
	basket *stock.Basket
	parts  [][]stock.Line
	at     stage
	tries  int
	lines  []stock.Outcome // of the lines, as they were told last
	timeMS int64           // Redis time of the earliest answer about them
	ends   Result
}

// stage is what a saga has asked for.
type stage uint8

const (
	nothing  stage = iota
	home           // take the lines at home, or tell how far the basket is
	away           // take the other lines
	verdict        // decide by what became of all lines
	giveBack       // void the lines elsewhere: the record is refusing
	last           // void the lines at home: the record becomes refused
	told           // tell of the other lines of a held basket
	done
)

// String names the stage, for tests that stop a saga there.
func (s stage) String() string {
	return [...]string{"nothing", "home", "away", "verdict", "give back", "last", "told", "done"}[s]
}

// triesMax is the number of attempts of a saga, the first included. It begins again if its record was lost, or others have
// decided otherwise.
const triesMax = 3

// Call is what a saga asks for: something about all lines of the basket in one partition, or about its record. All calls of a
// step may be made at once.
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

// Result is what became of a basket.
type Result struct {
	// State is BasketHeld; or BasketRefusing or BasketRefused, which to a caller are one; or BasketNone: the basket was not
	// begun, and nothing has happened.
	State   stock.BasketState
	Refusal stock.Verdict   // on a line, unless the basket is held
	Line    int             // which line
	Lines   []stock.Outcome // of a held basket: its reservations. One that is no longer remembered has StateNone
	TimeMS  int64           // Redis time at which the reservations are so
	First   bool            // this saga has made the basket held, and does not repeat an answer
}

// ErrLost means that the record of a basket was lost again and again. The same basket may be decided later.
var ErrLost = errors.New("the record of the basket was lost")

// New is the saga of a basket, from its beginning or from wherever others have left it.
func New(b *stock.Basket) *Saga {
	return &Saga{basket: b, parts: b.Parts(), lines: make([]stock.Outcome, len(b.Lines))}
}

// Stage names what the saga has asked for last.
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
	case nothing:
		return s.ask(home), nil
	case home:
		return s.fromHome(answers[0]), nil
	case away:
		s.keepAway(answers)
		return s.ask(verdict), nil
	case verdict:
		return s.decided(answers[0].Outcomes[0])
	case giveBack:
		for _, a := range answers {
			if stuck(a.Outcomes) {
				return s.end(stock.BasketRefusing), nil // until the cell opens again
			}
		}
		return s.ask(last), nil
	case last:
		return s.end(stock.BasketRefused), nil
	case told:
		s.keepAway(answers)
		return s.end(stock.BasketHeld), nil
	case done:
	}
	return nil, nil
}

// fromHome goes on from the record of the basket, and what became of the lines at home.
func (s *Saga) fromHome(a Answer) []Call {
	s.timeMS = a.TimeMS
	copy(s.lines, a.Outcomes)
	refusal, line := refusalOf(s.lines[:len(a.Outcomes)])
	switch b := a.Outcomes[0].Basket; b.State {
	case stock.BasketBegun:
		if refusal != stock.VerdictOK || len(s.parts) == 1 {
			return s.ask(verdict)
		}
		return s.ask(away)
	case stock.BasketHeld:
		s.ends.First = a.Outcomes[0].Verdict == stock.VerdictOK
		if len(s.parts) == 1 {
			return s.end(stock.BasketHeld)
		}
		return s.ask(told)
	case stock.BasketRefusing, stock.BasketRefused:
		return s.refuse(b)
	case stock.BasketNone:
	}
	s.ends.Refusal, s.ends.Line = refusal, line
	return s.end(stock.BasketNone)
}

// decided goes on from the record after the decision.
func (s *Saga) decided(o stock.Outcome) ([]Call, error) {
	refusal, _ := refusalOf(s.lines)
	switch o.Basket.State {
	case stock.BasketHeld:
		if refusal == stock.VerdictOK {
			s.ends.First = o.Verdict == stock.VerdictOK
			return s.end(stock.BasketHeld), nil
		}
		return s.again() // somebody else has taken what was refused here
	case stock.BasketRefusing, stock.BasketRefused:
		return s.refuse(o.Basket), nil
	case stock.BasketNone, stock.BasketBegun:
	}
	return s.again() // the record was lost
}

// refuse gives the lines back, unless somebody has. The basket is refused from now on, whatever becomes of them.
func (s *Saga) refuse(b stock.BasketRecord) []Call {
	s.ends.State, s.ends.Refusal, s.ends.Line = b.State, b.Refusal, int(b.Line)
	switch {
	case b.State == stock.BasketRefused:
		return s.end(b.State)
	case len(s.parts) == 1:
		return s.ask(last)
	}
	return s.ask(giveBack)
}

// failed ends a saga whose call has failed. If the basket is refusing already, that is the
// result instead of the error: somebody else finishes it.
func (s *Saga) failed(err error) ([]Call, error) {
	if s.ends.State == stock.BasketRefusing {
		return s.end(stock.BasketRefusing), nil
	}
	return nil, err
}

func (s *Saga) again() ([]Call, error) {
	if s.tries++; s.tries == triesMax {
		return nil, ErrLost
	}
	return s.ask(home), nil
}

func (s *Saga) end(state stock.BasketState) []Call {
	s.at, s.ends.State = done, state
	if state == stock.BasketHeld {
		s.ends.Lines, s.ends.TimeMS = s.lines, s.timeMS
	}
	return nil
}

// Result is what became of the basket, once the saga has ended.
func (s *Saga) Result() Result { return s.ends }

// keepAway keeps what became of the lines elsewhere.
func (s *Saga) keepAway(answers []Answer) {
	at := len(s.parts[0])
	for _, a := range answers {
		at += copy(s.lines[at:], a.Outcomes)
		s.timeMS = min(s.timeMS, a.TimeMS)
	}
}

// refusalOf is the verdict on the first line that is refused, VerdictOK if none is. Lines that are refused only
// because their basket is (VerdictRefused) do not count.
func refusalOf(lines []stock.Outcome) (stock.Verdict, int) {
	for i := range lines {
		if v := lines[i].Verdict; v.Refused() && v != stock.VerdictRefused {
			return v, i
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
	case home:
		return []Call{s.part(stock.OpGather, 0, stock.Part{})}
	case away:
		return s.elsewhere(stock.OpGather, stock.Part{})
	case told:
		return s.elsewhere(stock.OpGather, stock.Part{Held: true})
	case giveBack:
		return s.elsewhere(stock.OpVoid, stock.Part{})
	case last:
		return []Call{s.part(stock.OpVoid, 0, stock.Part{})}
	case verdict:
		part := stock.Part{Home: s.basket, To: stock.BasketHeld}
		if refusal, line := refusalOf(s.lines); refusal != stock.VerdictOK {
			part.To, part.Refusal, part.Line = stock.BasketRefusing, refusal, uint8(line)
		}
		return []Call{{stock.OpDecide, []stock.Request{{ID: s.basket.ID(), Cell: s.basket.Lines[0].Cell, Part: &part}}}}
	case nothing, done:
	}
	return nil
}

// elsewhere asks for the same about all lines that are not at home.
func (s *Saga) elsewhere(op stock.Op, part stock.Part) []Call {
	var calls []Call
	for n := 1; n < len(s.parts); n++ {
		calls = append(calls, s.part(op, n, part))
	}
	return calls
}

// part asks for something about the lines of one partition.
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

// Between is nil, or set by a program of tests: it is called before each step with what the saga asks for, so that the program
// can end there.
var Between func(stage string)

// Decide decides a basket. ask makes all calls of a step at once, and returns their answers in order. After an error the
// basket may be begun: deciding it again, here or elsewhere, settles it. The error is then a stock.ErrUnknown, except
// where the first call has failed: then it is that call's.
func Decide(b *stock.Basket, ask func(calls []Call) []Answer) (Result, error) {
	s := New(b)
	var answers []Answer
	for {
		begun := s.at > home || s.tries > 0
		calls, err := s.Step(answers)
		if err != nil && begun {
			return Result{}, unknown(err)
		} else if err != nil {
			return Result{}, err
		}
		if len(calls) == 0 {
			return s.Result(), nil
		}
		if Between != nil {
			Between(s.Stage())
		}
		answers = ask(calls)
	}
}
