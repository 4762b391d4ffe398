package redisstock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/rueidis"

	"sluice/core/event"
	"sluice/core/stock"
)

// answerElements is the length of the answer to a vector: time, verdicts, records, cells, entry id,
// entry, effects.
const answerElements = 7

// readVector fills in the vector's results from the answer of its script, and returns how many effects its
// partition has seen since it was vetted. nonce is that of the partition.
func readVector(v *stock.Vector, result rueidis.RedisResult, nonce uint64) (effects uint64, err error) {
	if effects, err = readAnswer(v, result, nonce); err != nil {
		v.Outcomes, v.Cells, v.Entry = v.Outcomes[:0], v.Cells[:0], stock.Entry{}
		return 0, wrapProtocol(v.Op.String(), err)
	}
	return effects, nil
}

func readAnswer(v *stock.Vector, result rueidis.RedisResult, nonce uint64) (effects uint64, err error) {
	elements, err := result.ToArray()
	if err != nil {
		return 0, err
	}
	if len(elements) != answerElements {
		return 0, elementsError(len(elements))
	}
	if v.TimeMS, err = elements[0].ToInt64(); err != nil {
		return 0, err
	}
	const last = answerElements - 1
	if effects, err = elements[last].AsUint64(); err != nil {
		return 0, err
	}
	var texts [last]string
	for i := 1; i < last; i++ {
		if texts[i], err = elements[i].ToString(); err != nil {
			return 0, err
		}
	}
	verdicts, records, cells, entryID, entry := texts[1], texts[2], texts[3], texts[4], texts[5]
	if err := readCells(v, cells); err != nil {
		return 0, err
	}
	if entryID != "" {
		v.Entry = stock.Entry{Partition: v.Partition, ID: entryID, Data: bytesOf(entry)}
	}
	return effects, readOutcomes(v, verdicts, records, nonce)
}

// readCells reads id and value of each cell. A zero byte in place of a value means that there is no such cell.
func readCells(v *stock.Vector, cells string) error {
	for len(cells) > stock.CellBytes {
		cell, value := stock.CellFrom(bytesOf(cells)), ""
		cells = cells[stock.CellBytes:]
		if cells[0] == 0 {
			cells = cells[1:]
		} else {
			length := min(max(cellBytesOf(cells[0]), 1), len(cells)) // an unknown version is refused with its first byte
			value, cells = cells[:length], cells[length:]
		}
		state, err := cellFrom(cell, value)
		if err != nil {
			return err
		}
		v.Cells = append(v.Cells, state)
	}
	if cells != "" {
		return fmt.Errorf("%d bytes after the last cell", len(cells))
	}
	return nil
}

// readOutcomes makes the outcomes from three lists: the verdicts, the records of requests that were decided before or have
// moved a deadline, and the events of accepted requests. All three are in the order of the requests.
func readOutcomes(v *stock.Vector, verdicts, records string, nonce uint64) error {
	if len(verdicts) != len(v.Requests) {
		return fmt.Errorf("%d verdicts on %d requests", len(verdicts), len(v.Requests))
	}
	var events event.Decoder
	if v.Entry.ID != "" {
		var err error
		if events, err = event.NewDecoder(v.Entry.Data); err != nil {
			return err
		}
	}
	var e event.Event
	for i := range v.Requests {
		outcome := stock.Outcome{Verdict: stock.Verdict(verdicts[i] &^ countedBit)}
		if int(outcome.Verdict) >= stock.Verdicts {
			return fmt.Errorf("unknown %v", outcome.Verdict)
		}
		if v.Requests[i].Part != nil && tellsBasket(v, i) {
			var err error
			if outcome.Basket, records, err = nextBasket(records, nonce); err != nil {
				return err
			}
		}
		switch {
		case v.Op == stock.OpDecide:
		case outcome.Verdict == stock.VerdictOK:
			if err := events.Next(&e); err != nil {
				return err
			}
			if e.Reservation != v.Requests[i].ID {
				return fmt.Errorf("event about %v in answer to %v", e.Reservation, v.Requests[i].ID)
			}
			if v.Op != stock.OpExtend {
				outcome.Reservation = reservationOf(&e, verdicts[i]&countedBit != 0)
				break
			}
			fallthrough // only the record has the first deadline
		case outcome.Verdict == stock.VerdictReplayed,
			outcome.Verdict == stock.VerdictWrongState && hasRecord(v.Op):
			var err error
			if outcome.Reservation, records, err = nextRecord(v.Requests[i].ID, records); err != nil {
				return err
			}
		}
		v.Outcomes = append(v.Outcomes, outcome)
	}
	if records != "" {
		return fmt.Errorf("%d bytes after the last record", len(records))
	}
	if v.Entry.ID == "" {
		return nil
	}
	return events.Close()
}

// hasRecord tells whether the wrong state that a request of an operation meets is that of a reservation.
func hasRecord(op stock.Op) bool {
	return op != stock.OpAdjust && op != stock.OpReturn && op != stock.OpVoid
}

// nextRecord reads the first of some records, and returns the others.
func nextRecord(id stock.ReservationID, records string) (r stock.Reservation, rest string, err error) {
	length := recordBytes
	if records != "" {
		length = recordBytesOf(records[0])
	}
	if length == 0 || len(records) < length {
		return r, "", fmt.Errorf("records of %d bytes left", len(records))
	}
	r, err = recordFrom(id, records[:length])
	return r, records[length:], err
}

// reservationOf returns the reservation as an event has left it.
func reservationOf(e *event.Event, counted bool) stock.Reservation {
	return stock.Reservation{
		ID:          e.Reservation,
		State:       e.Kind.State(),
		Counted:     counted,
		Cell:        e.Cell,
		User:        e.User,
		Quantity:    e.Quantity,
		Fingerprint: e.Fingerprint,
		Seq:         e.Seq,
		DeadlineMS:  e.DeadlineMS,
	}
}

// notExecuted has the first words of Redis' answers to calls that it did not execute. Such a call may succeed later, or
// at another server.
var notExecuted = [...]string{
	"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY",
	"MISCONF", "NOREPLICAS", "BUSY", "NOAUTH", "NOPERM", "WRONGPASS",
}

// kindOf returns the error of package stock that an error of the client or of Redis is.
func kindOf(err error) error {
	var redisErr *rueidis.RedisError
	var opErr *net.OpError
	switch {
	case errors.As(err, &redisErr):
		return kindOfAnswer(redisErr.Error())
	case errors.As(err, &opErr) && opErr.Op == "dial":
		return stock.ErrUnreached
	case errors.Is(err, rueidis.ErrNoSlot):
		return stock.ErrNotApplied // the client knows no server to send it to
	}
	// Anything else may have happened after the call was sent: a timeout, a reset, a cut-off answer.
	return stock.ErrUnknown
}

func kindOfAnswer(answer string) error {
	// An error from within a script names the script. It may come after a write.
	if strings.Contains(answer, "@user_script") {
		return stock.ErrProtocol
	}
	word, _, _ := strings.Cut(answer, " ")
	if word == "NOSCRIPT" || word == "SHUT" {
		return stock.ErrShut
	}
	switch word {
	case "OOM":
		return stock.ErrFull
	case "LOADING":
		return stock.ErrLoading
	}
	for _, known := range notExecuted {
		if word == known {
			return stock.ErrNotApplied
		}
	}
	if answer == "max number of clients reached" { // the client has cut off Redis' ERR
		return stock.ErrNotApplied
	}
	return stock.ErrProtocol
}

// wrap makes an error of package stock from an error of the client or of Redis. Programs look at its kind only; the words
// about the cause are for people.
func wrap(what string, err error) error {
	kind := kindOf(err)
	if errors.Is(kind, stock.ErrShut) {
		return fmt.Errorf("%s: %w", what, kind) // without the words of Redis: they advise EVAL, which would skip the vetting
	}
	return fmt.Errorf("%s: %w: %w", what, kind, err)
}

// errNoNode means that the client knows no node of a cluster.
var errNoNode = errors.New("no node of the cluster is known")

// notSent returns the error of a call that was given up before it was sent.
func notSent(ctx context.Context, what string) error {
	return fmt.Errorf("%s: %w: %w", what, stock.ErrNotApplied, context.Cause(ctx))
}

// elementsError is the error of an answer with a wrong number of elements.
type elementsError int

func (e elementsError) Error() string { return fmt.Sprintf("it has %d elements", int(e)) }

// wrapProtocol wraps the error of an answer that the store cannot read.
func wrapProtocol(what string, err error) error {
	return fmt.Errorf("read answer of %s: %w: %w", what, stock.ErrProtocol, err)
}
