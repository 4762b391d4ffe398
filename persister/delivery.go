package persister

import (
	"slices"

	"sluice/core/db"
)

// delivery decides what each transaction of a batch writes, given how the ones before it ended. Rows come first, then dead
// letters, and no more at once than the server takes.
//
// A row that the database refuses becomes a dead letter. If it refuses several rows together, delivery halves them until
// it has found the one, so that no other event waits for it. A single row or letter that is too large stays: as a dead
// letter it would be even larger. Once somebody raises max_allowed_packet it goes on, and nothing is lost.
type delivery struct {
	rows    [][]*row // in order; each list goes into transactions of its own
	letters []letter

	rowsAtOnce, lettersAtOnce *portion
}

// attempt has the content of one transaction: rows or letters, never both.
type attempt struct {
	rows    []*row
	letters []letter
}

func (a attempt) size() int { return len(a.rows) + len(a.letters) }

func newDelivery(rows []*row, letters []letter, rowsAtOnce, lettersAtOnce *portion) *delivery {
	d := &delivery{letters: slices.Clip(letters), rowsAtOnce: rowsAtOnce, lettersAtOnce: lettersAtOnce}
	if len(rows) > 0 {
		d.rows = [][]*row{rows}
	}
	return d
}

// next returns the content of the next transaction, and false once everything is written.
func (d *delivery) next() (attempt, bool) {
	if len(d.rows) > 0 {
		return attempt{rows: d.rows[0][:min(len(d.rows[0]), d.rowsAtOnce.size)]}, true
	}
	return attempt{letters: d.letters[:min(len(d.letters), d.lettersAtOnce.size)]}, len(d.letters) > 0
}

// wrote notes that the attempt is in MySQL.
func (d *delivery) wrote(a attempt) {
	if a.rows == nil {
		d.lettersAtOnce.fits()
		d.letters = d.letters[len(a.letters):]
		return
	}
	d.rowsAtOnce.fits()
	d.pass(len(a.rows))
}

// failed notes why the attempt is not in MySQL. It returns true if the same attempt is to be tried again.
func (d *delivery) failed(a attempt, why db.Failure, err error) (again bool) {
	switch {
	case why == db.FailureTooLarge && len(a.rows) > 1:
		d.rowsAtOnce.tooLarge(len(a.rows))
	case why == db.FailureTooLarge && len(a.letters) > 1:
		d.lettersAtOnce.tooLarge(len(a.letters))
	case why == db.FailureRefused && len(a.rows) == 1:
		d.pass(1)
		d.letters = append(d.letters, rowLetter(reasonRefused, err.Error(), a.rows[0]))
	case why == db.FailureRefused && len(a.rows) > 1:
		d.pass(len(a.rows))
		half := (len(a.rows) + 1) / 2
		d.rows = slices.Insert(d.rows, 0, a.rows[:half], a.rows[half:])
	default:
		return true
	}
	return false
}

// pass removes n rows from the front.
func (d *delivery) pass(n int) {
	if d.rows[0] = d.rows[0][n:]; len(d.rows[0]) == 0 {
		d.rows = d.rows[1:]
	}
}
