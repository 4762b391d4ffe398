package persister

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sluice/core/db"
	"sluice/core/stock"
)

// TestDelivery delivers batches to databases that refuse some rows, and statements above a size, and are away now and
// then. Each row is written once or becomes a letter; each letter is written once; and only what is refused, or too
// large alone, is tried in vain for long.
func TestDelivery(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		rows := make([]*row, random.IntN(40))
		for i := range rows {
			rows[i] = &row{}
			rows[i].Cell, rows[i].Position = stock.Cell{SKU: 1}, stock.Position{Epoch: 1, Seq: uint64(i + 1)}
		}
		letters := make([]letter, random.IntN(4))
		for i := range letters {
			letters[i].reason = reasonMalformed
		}
		bad := map[*row]bool{}
		for range random.IntN(4) {
			if len(rows) > 0 {
				bad[rows[random.IntN(len(rows))]] = true
			}
		}
		fits := 1 + random.IntN(50)
		rowsAtOnce, lettersAtOnce := newPortion(rowsAtOnce), newPortion(rowsAtOnce)
		d := newDelivery(rows, letters, &rowsAtOnce, &lettersAtOnce)

		var written []*row
		var lettersWritten []letter
		tries, away := 0, 0
		for a, more := d.next(); more; a, more = d.next() {
			if tries++; tries > 1000 {
				t.Fatalf("%d rows and %d letters left after %d tries", len(d.rows), len(d.letters), tries)
			}
			if a.size() == 0 || a.rows != nil && a.letters != nil {
				t.Fatalf("an attempt of %d rows and %d letters", len(a.rows), len(a.letters))
			}
			why := db.Failure("")
			switch {
			case random.IntN(10) == 0:
				why = db.FailureConnection
			case a.size() > fits:
				why = db.FailureTooLarge
			case slices.ContainsFunc(a.rows, func(r *row) bool { return bad[r] }):
				why = db.FailureRefused
			}
			if why == "" {
				written, lettersWritten = append(written, a.rows...), append(lettersWritten, a.letters...)
				d.wrote(a)
				continue
			}
			again := d.failed(a, why, errors.New("no"))
			if again != (why == db.FailureConnection) {
				t.Fatalf("%s of %d: tried again: %v", why, a.size(), again)
			}
			if again {
				away++
				if same, _ := d.next(); !slices.Equal(same.rows, a.rows) || len(same.letters) != len(a.letters) {
					t.Fatal("something else was tried again")
				}
			}
		}
		var want []*row
		for _, r := range rows {
			if !bad[r] {
				want = append(want, r)
			}
		}
		if !slices.Equal(written, want) {
			t.Fatalf("%d of %d rows written, or in another order", len(written), len(want))
		}
		if len(lettersWritten) != len(letters)+len(bad) {
			t.Fatalf("%d letters written, want %d and %d", len(lettersWritten), len(letters), len(bad))
		}
		for i, l := range lettersWritten {
			if want := reasonMalformed; i < len(letters) && l.reason != want || i >= len(letters) && (l.reason != reasonRefused || !bad[rows[l.event.Seq-1]]) {
				t.Fatalf("letter %d is %s of %v", i, l.reason, l.event)
			}
		}
		// A bad row costs a path of halves, a small server a halving and then a try for each portion.
		if most := 2*len(bad)*7 + 2*(len(rows)+len(lettersWritten))/max(1, fits/2) + 20; tries-away > most {
			t.Fatalf("%d tries for %d rows, %d of them bad, %d at once: want at most %d", tries-away, len(rows), len(bad), fits, most)
		}
	}
}

// TestDeliveryStaysWithWhatIsTooLargeAlone tries it again: nothing else may be lost for it.
func TestDeliveryStaysWithWhatIsTooLargeAlone(t *testing.T) {
	t.Parallel()
	rowsAtOnce, lettersAtOnce := newPortion(rowsAtOnce), newPortion(rowsAtOnce)
	d := newDelivery([]*row{{}}, []letter{{}}, &rowsAtOnce, &lettersAtOnce)
	for range 2 { // the row, then the letter
		a, _ := d.next()
		if a.size() != 1 || !d.failed(a, db.FailureTooLarge, errors.New("no")) {
			t.Errorf("an attempt of %d is given up", a.size())
		}
		d.wrote(a)
	}
	d = newDelivery(nil, []letter{{}}, &rowsAtOnce, &lettersAtOnce)
	if a, _ := d.next(); !d.failed(a, db.FailureRefused, errors.New("no")) {
		t.Error("a refused letter is given up")
	}
}
