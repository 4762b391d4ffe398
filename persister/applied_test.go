package persister

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/db"
	"sluice/core/event"
	"sluice/core/stock"
)

// inARow makes the next events of one cell.
func inARow(h *history, c *cellHistory, n int) []*row {
	var rows []*row
	for range n {
		rows = append(rows, rowsOf(event.Batch{TimeMS: 1, Events: []event.Event{h.next(c)}})...)
	}
	return rows
}

type marksTest struct {
	t      *testing.T
	writer writer
	marker *marker
}

func newMarksTest(t *testing.T) *marksTest {
	t.Helper()
	db := database(t)
	return &marksTest{t: t, writer: writer{db: db}, marker: newMarker(db, newTestMeters(), slog.New(slog.DiscardHandler))}
}

// write applies rows, as the consumer does.
func (m *marksTest) write(rows ...*row) {
	m.t.Helper()
	if _, err := m.writer.write(m.t.Context(), rows, nil); err != nil {
		m.t.Fatal(err)
	}
	for _, r := range rows {
		m.marker.touch(r.Cell)
	}
}

// want moves marks as far as they go and compares.
func (m *marksTest) want(when string, marks ...string) {
	m.t.Helper()
	for len(m.marker.touched)+len(m.marker.behind) > 0 {
		if err := m.marker.round(m.t.Context()); err != nil {
			m.t.Fatal(err)
		}
	}
	got := lines(m.t, m.writer.db, "SELECT sku_id, bucket, epoch, seq FROM applied_marks ORDER BY sku_id, bucket")
	if diff := cmp.Diff(marks, got); diff != "" {
		m.t.Errorf("%s:\n%s", when, diff)
	}
}

// TestMarksOnlyRise: of persisters that came to different heights, or epochs, none takes back what another has proven.
func TestMarksOnlyRise(t *testing.T) {
	t.Parallel()
	m := newMarksTest(t)
	cell := stock.Cell{SKU: 1}
	for _, step := range []struct {
		save stock.Position
		want string
	}{
		{stock.Position{Epoch: 2, Seq: 9}, "1 0 2 9"},
		{stock.Position{Epoch: 2, Seq: 5}, "1 0 2 9"},
		{stock.Position{Epoch: 1, Seq: 20}, "1 0 2 9"},
		{stock.Position{Epoch: 2, Seq: 10}, "1 0 2 10"},
	} {
		if err := m.marker.save(t.Context(), map[stock.Cell]stock.Position{cell: step.save}, nil); err != nil {
			t.Fatal(err)
		}
		m.want(fmt.Sprint("saved ", step.save), step.want)
	}
}

// TestMarksGoOnAfterTrouble: cells of a round that failed are those of the next one, not of the next survey.
func TestMarksGoOnAfterTrouble(t *testing.T) {
	t.Parallel()
	m := newMarksTest(t)
	h := newHistory(6, 1)
	m.write(inARow(h, h.cells[0], 3)...)
	m.marker.surveyed = m.marker.meters.now()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.marker.round(ended); err == nil {
		t.Fatal("a round without time passes")
	}
	c := h.cells[0].last.Cell
	m.want("the next round", fmt.Sprintf("%d %d 1 3", c.SKU, c.Bucket))
}

func TestMarksStopAtGaps(t *testing.T) {
	t.Parallel()
	m := newMarksTest(t)
	h := newHistory(6, 2)
	a, b := inARow(h, h.cells[0], 10), inARow(h, h.cells[1], 10)
	m.write(a[1], a[2])
	m.want("without the first event")
	m.write(a[0], b[0], b[1])
	m.want("from the start", "1001 0 1 3", "1001 1 1 2")
	m.write(append(a[5:9], b[2:]...)...)
	m.want("with a gap", "1001 0 1 3", "1001 1 1 10")
	m.write(a[3])
	m.want("with a smaller gap", "1001 0 1 4", "1001 1 1 10")
	m.write(a[4], a[9])
	m.want("without a gap", "1001 0 1 10", "1001 1 1 10")
}

func TestMarksStopAtDeadLetters(t *testing.T) {
	t.Parallel()
	m := newMarksTest(t)
	h := newHistory(7, 2)
	a, b := inARow(h, h.cells[0], 6), inARow(h, h.cells[1], 6)
	m.write(append(a[:3:3], b[:3]...)...)
	m.want("before", "1001 0 1 3", "1001 1 1 3")
	fork := *a[1]
	fork.User++
	m.write(&fork)
	m.write(append(a, b...)...)
	m.want("beside a fork", "1001 0 1 3", "1001 1 1 6")
	if _, err := m.writer.db.ExecContext(t.Context(), "UPDATE dead_letters SET resolved_at = NOW()"); err != nil {
		t.Fatal(err)
	}
	m.marker.touch(a[0].Cell)
	m.want("with the fork resolved", "1001 0 1 6", "1001 1 1 6")
}

func TestMarksStopWhereBalancesDoNotFollow(t *testing.T) {
	t.Parallel()
	m := newMarksTest(t)
	h := newHistory(8, 2)
	a, b := inARow(h, h.cells[0], 6), inARow(h, h.cells[1], 3)
	a[3].Sold += 5
	b[0].Avail += 5 // a cell starts empty
	m.write(append(a, b...)...)
	m.want("broken", "1001 0 1 3")
	want := []string{"broken_chain 1001 0 0 1 4", "broken_chain 1001 0 1 1 1"}
	if diff := cmp.Diff(want, lines(t, m.writer.db, allLetters)); diff != "" {
		t.Error(diff)
	}
	var data []byte
	if err := m.writer.db.QueryRowContext(t.Context(), "SELECT data FROM dead_letters WHERE seq = 4").Scan(&data); err != nil {
		t.Fatal(err)
	}
	whole := event.Batch{Partition: a[3].Reservation.Partition(), TimeMS: a[3].timeMS, Events: []event.Event{a[3].Event}}
	if !bytes.Equal(data, event.Append(nil, whole)) {
		t.Errorf("a dead letter is no message of its own: %x", data)
	}
}

// TestMarksStopAtEditedRows edits the ledger to what no event can have, past the schema.
func TestMarksStopAtEditedRows(t *testing.T) {
	t.Parallel()
	m := newMarksTest(t)
	edits := []string{
		"available_stock = 2000000000000", "sold_stock = 9223372036854775807", "reserved_stock = -1", "seq = 281474976710656",
		"deadline_ms = -1", "redis_ms = 281474976710656", "user_id = -1", "quantity = 16777216",
	}
	h := newHistory(8, len(edits))
	for _, c := range h.cells {
		m.write(inARow(h, c, 3)...)
	}
	edit := func(i int, what string) error {
		c := h.cells[i].last.Cell
		_, err := m.writer.db.ExecContext(t.Context(), "UPDATE ledger SET "+what+" WHERE sku_id = ? AND bucket = ? AND seq = 3", c.SKU, c.Bucket)
		return err
	}
	for i, what := range edits {
		if err := edit(i, what); db.FailureOf(err) != db.FailureRefused {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, constraint := range []string{"ledger_balances", "ledger_amount", "ledger_key", "ledger_user", "ledger_times"} {
		if _, err := m.writer.db.ExecContext(t.Context(), "ALTER TABLE ledger DROP CONSTRAINT "+constraint); err != nil {
			t.Fatal(err)
		}
	}
	var marks, letters []string
	for i, what := range edits {
		if err := edit(i, what); err != nil {
			t.Fatal(err)
		}
		c := h.cells[i].last.Cell
		marks = append(marks, fmt.Sprintf("%d %d 1 2", c.SKU, c.Bucket))
		if !strings.HasPrefix(what, "seq") { // that one is a gap
			letters = append(letters, fmt.Sprintf("broken_chain %d %d %d 1 3", c.SKU, c.Pool, c.Bucket))
		}
	}
	m.want("with edited rows", marks...)
	if diff := cmp.Diff(letters, lines(t, m.writer.db, allLetters)); diff != "" {
		t.Error(diff)
	}
}

func TestMarksDoNotEnterAnEpoch(t *testing.T) {
	t.Parallel()
	m := newMarksTest(t)
	h := newHistory(9, 1)
	a := inARow(h, h.cells[0], 6)
	for _, r := range a[4:] {
		r.Epoch = 2
	}
	m.write(a...)
	m.want("with a second epoch", "1001 0 1 4")
}

// TestMarksFollowARebase has cells whose second epoch begins with a rebase: from where the first one ended; from before that,
// because an event came late; with balances that the first one did not leave; after a gap; after a break; without the rebase;
// and after a break that somebody has put right by it.
func TestMarksFollowARebase(t *testing.T) {
	t.Parallel()
	m := newMarksTest(t)
	h := newHistory(9, 7)
	rebased := func(c *cellHistory, from uint64) []*row {
		rows := inARow(h, c, 4)
		last := *rows[3]
		rebase := row{Event: last.Event, timeMS: last.timeMS + 1}
		rebase.Kind, rebase.Quantity, rebase.User, rebase.DeadlineMS = event.KindRebase, 0, 0, 0
		rebase.Reservation = stock.ReservationID{} // nobody asked for it
		rebase.Position = stock.Position{Epoch: 2, Seq: from + 1}
		rebase.Change = event.Change{From: stock.Position{Epoch: 1, Seq: from}, Reason: "test"}
		c.last.Seq = from + 1
		rows = append(rows, &rebase)
		for _, r := range inARow(h, c, 2) {
			r.Epoch = 2
			rows = append(rows, r)
		}
		return rows
	}
	m.write(rebased(h.cells[0], 4)...)
	m.write(rebased(h.cells[1], 3)...)
	others := rebased(h.cells[2], 4)
	others[4].Avail++
	for _, r := range others[5:] {
		r.Avail++
	}
	m.write(others...)
	gap := rebased(h.cells[3], 4)
	m.write(slices.Delete(gap, 1, 2)...)
	broken := rebased(h.cells[4], 4)
	broken[1].Avail++
	m.write(broken...)
	alone := rebased(h.cells[5], 4)
	m.write(slices.Delete(alone, 4, 5)...) // the rebase is not there yet
	settled := rebased(h.cells[6], 4)
	settled[1].Avail++
	settled[4].Reservation = settled[0].Reservation
	m.write(settled...)
	m.want("with second epochs", "1001 0 2 7", "1001 1 2 6", "1002 0 2 7", "1002 1 2 7", "1003 0 1 1", "1003 1 1 4", "1004 0 2 7")
	letters := lines(t, m.writer.db, "SELECT reason, sku_id, epoch, seq FROM dead_letters")
	if diff := cmp.Diff([]string{reasonBroken + " 1003 1 2"}, letters); diff != "" {
		t.Errorf("dead letters:\n%s", diff)
	}
}

// TestMarksOfManyRows needs more than one window of rows.
func TestMarksOfManyRows(t *testing.T) {
	t.Parallel()
	m := newMarksTest(t)
	h := newHistory(10, 1)
	const events = 2*marksRows + 7
	m.write(inARow(h, h.cells[0], events)...)
	m.want("after all rounds", "1001 0 1 40007")
}

// TestMarksOfAHotCell has one cell with most of the events among many with few.
func TestMarksOfAHotCell(t *testing.T) {
	t.Parallel()
	m := newMarksTest(t)
	const others, events = 2 * marksCells, 2 * marksRows
	h := newHistory(12, 1+others)
	hot := h.cells[0]
	m.write(inARow(h, hot, events)...)
	var rows []*row
	for _, c := range h.cells[1:] {
		rows = append(rows, inARow(h, c, 1)...)
	}
	m.write(rows...)
	round := func() (hotSeq int) {
		t.Helper()
		if err := m.marker.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		const mark = "SELECT COALESCE(MAX(seq), 0) FROM applied_marks WHERE sku_id = 1001 AND bucket = 0"
		if err := m.writer.db.QueryRowContext(t.Context(), mark).Scan(&hotSeq); err != nil {
			t.Fatal(err)
		}
		return hotSeq
	}
	m.marker.behind = []stock.Cell{hot.last.Cell} // or the first round might be without it
	for i := 1; i <= 2; i++ {
		if got, want := round(), i*(marksRows-2*marksCells); got < want {
			t.Errorf("after round %d the hot cell's mark is %d, want %d", i, got, want)
		}
	}
	all := []string{fmt.Sprintf("1001 0 1 %d", events)}
	for _, c := range h.cells[1:] {
		all = append(all, fmt.Sprintf("%d %d 1 1", c.last.Cell.SKU, c.last.Cell.Bucket))
	}
	m.want("in the end", all...)
}

// TestSurvey finds cells that this process never touched.
func TestSurvey(t *testing.T) {
	t.Parallel()
	m := newMarksTest(t)
	const cells = 2*marksCells + 100
	h := newHistory(11, cells)
	var rows []*row
	for _, c := range h.cells {
		rows = append(rows, inARow(h, c, 2)...)
	}
	m.write(rows[:2]...)
	m.want("before", "1001 0 1 2") // the next cell differs from it in nothing but its bucket
	m.write(rows[2:]...)
	m.marker.touched = map[stock.Cell]struct{}{}
	now := time.Now()
	m.marker.meters.now = func() time.Time { return now }
	for range 3 {
		if err := m.marker.round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := lines(t, m.writer.db, "SELECT COUNT(*), MIN(seq), MAX(seq) FROM applied_marks")[0]; got != "1100 2 2" {
		t.Errorf("marks, lowest and highest: %s", got)
	}
	m.write(inARow(h, h.cells[5], 1)...)
	m.marker.touched = map[stock.Cell]struct{}{}
	look := func() string {
		if err := m.marker.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		return lines(t, m.writer.db, "SELECT MAX(seq) FROM applied_marks")[0]
	}
	if got := look(); got != "2" {
		t.Errorf("surveyed again at once: %s", got)
	}
	now = now.Add(surveyEvery)
	if got := look(); got != "3" {
		t.Errorf("not surveyed again: %s", got)
	}
}
