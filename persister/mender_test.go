package persister

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sluice/core/ledger"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// mends is a mender, and the book in which steps are asked of it.
type mends struct {
	*mender
	*ledger.Reader
	t *testing.T
}

// ask asks for a step, lets it be done twice, and returns its row.
func (m *mends) ask(cell stock.Cell, act reconcile.Act) *ledger.Repair {
	m.t.Helper()
	data, err := json.Marshal(act)
	if err != nil {
		m.t.Fatal(err)
	}
	step := ledger.Repair{Step: sha256.Sum256(data), Decision: ledger.Decision{By: "me", Reason: "why"}, Cell: cell, Act: data, ByPersister: true}
	now, err := m.Now(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := m.ClaimRepair(m.t.Context(), &step, now, time.Minute); err != nil {
		m.t.Fatal(err)
	}
	for range 2 {
		if _, err := m.round(m.t.Context()); err != nil {
			m.t.Fatal(err)
		}
	}
	done, err := m.Repair(m.t.Context(), step.Step)
	if err != nil || done == nil || done.EndedAt == 0 {
		m.t.Fatalf("%+v, %v", done, err)
	}
	return done
}

// Rows of the projections become what the ledger says, and what no longer fits is refused.
func TestMenderRewritesProjections(t *testing.T) {
	t.Parallel()
	db := database(t)
	m := &mends{&mender{writer: writer{db: db}, log: slog.New(slog.DiscardHandler)}, ledger.New(db, nil), t}
	h := newHistory(11, 1)
	rows := inARow(h, h.cells[0], 12)
	if _, err := m.writer.write(t.Context(), rows, nil); err != nil {
		t.Fatal(err)
	}
	exec := func(statement string, values ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement, values...); err != nil {
			t.Fatal(err)
		}
	}
	last := rows[len(rows)-1]
	cell, whole := last.Cell, reconcile.Act{Stock: &reconcile.StockEdit{Epoch: last.Epoch, Seq: last.Seq}}
	for n, statement := range []string{
		"UPDATE product_inventories SET total_stock = total_stock + 1, available_stock = available_stock + 1",
		"UPDATE product_inventories SET seq = seq + 5",
		"UPDATE product_inventories SET seq = 1",
		"DELETE FROM product_inventories",
	} {
		exec(statement)
		if done := m.ask(cell, whole); !done.Done || done.Round != int64(n+1) {
			t.Errorf("%s: %+v", statement, done)
		}
		tablesOf(rows).holds(t, db)
	}
	if done := m.ask(cell, reconcile.Act{Stock: &reconcile.StockEdit{Epoch: last.Epoch, Seq: last.Seq + 1}}); done.Done || !strings.Contains(done.Said, "no event") {
		t.Errorf("of an event that is not there: %+v", done)
	}

	var at *row
	for _, r := range newestOfReservations(rows) {
		at = r.row
		edit := reconcile.RowEdit{Reservation: r.Reservation.String(), Epoch: r.Epoch, Seq: r.Seq, FoundEpoch: r.Epoch, FoundSeq: r.Seq}
		exec("UPDATE reservations SET quantity = quantity + 1, user_id = 77 WHERE reservation_id = ?", r.Reservation[:])
		if done := m.ask(cell, reconcile.Act{Row: &edit}); !done.Done {
			t.Errorf("%+v", done)
		}
		tablesOf(rows).holds(t, db)
	}
	edit := reconcile.RowEdit{Reservation: at.Reservation.String(), Epoch: at.Epoch, Seq: at.Seq, FoundEpoch: at.Epoch, FoundSeq: at.Seq + 3}
	if done := m.ask(cell, reconcile.Act{Row: &edit}); done.Done || !strings.Contains(done.Said, fmt.Sprintf("is at %d.%d now", at.Epoch, at.Seq)) {
		t.Errorf("of a row that has moved: %+v", done)
	}
	edit.FoundSeq, edit.Seq = at.Seq, at.Seq+90
	if done := m.ask(cell, reconcile.Act{Row: &edit}); done.Done || !strings.Contains(done.Said, "no event of this reservation") {
		t.Errorf("of an event that is not there: %+v", done)
	}
	if done := m.ask(cell, reconcile.Act{Letter: "x"}); done.Done {
		t.Errorf("of a kind that persisters do not do: %+v", done)
	}
	tablesOf(rows).holds(t, db)
}
