package ledger_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/local/servicetest"
	"sluice/core/sale"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/persister/persistertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// untilMS is the Redis time up to which the tests' database has everything.
const untilMS = 1_700_000_000_000

type books struct {
	t  *testing.T
	db *sql.DB
	*ledger.Reader
}

func newBooks(t *testing.T) *books {
	t.Helper()
	db := persistertest.Database(t)
	persisted := func(context.Context) (int64, int64) { return untilMS, untilMS + 1000 }
	return &books{t: t, db: db, Reader: ledger.New(db, persisted)}
}

func (b *books) exec(statement string, values ...any) {
	b.t.Helper()
	if _, err := b.db.ExecContext(b.t.Context(), statement, values...); err != nil {
		b.t.Fatal(err)
	}
}

// all reads all pages of a list, and calls between after each.
func all[T any](t *testing.T, limit int, read func(ledger.Page) (ledger.List[T], error), between func()) []T {
	t.Helper()
	found := []T{}
	for page := (ledger.Page{Limit: limit}); ; {
		list, err := read(page)
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Data) > limit || len(list.Data) < limit && list.Next != "" || len(list.Data) == 0 && page.Cursor != "" {
			t.Fatalf("a page of %d items of %d after %q, and then %q", len(list.Data), limit, page.Cursor, list.Next)
		}
		found = append(found, list.Data...)
		if page.Cursor = list.Next; page.Cursor == "" {
			return found
		}
		if between != nil {
			between()
		}
	}
}

func (b *books) cell(sku int64, pool uint32, bucket uint16, avail int64) {
	b.t.Helper()
	b.exec(`INSERT INTO product_inventories (sku_id, pool, bucket, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq,
		last_updated) VALUES (?, ?, ?, ?, ?, 0, 0, 1, 7, '2026-01-02 03:04:05.678')`, sku, pool, bucket, avail, avail)
}

func TestStockPagesStayAsRowsArrive(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	var want []string
	for sku := int64(2); sku <= 40; sku += 2 {
		b.cell(sku, 0, 0, sku)
		b.cell(sku, 7, 0, 1)
		b.cell(sku, 7, 1, 2)
		want = append(want, fmt.Sprintf("%d/0", sku), fmt.Sprintf("%d/1", sku))
	}
	arriving := int64(-1)
	found := all(t, 3, func(p ledger.Page) (ledger.List[ledger.Stock], error) {
		return b.Stock(t.Context(), ledger.StockFilter{Sale: 7}, p)
	}, func() {
		arriving += 2 // always before what was read
		b.cell(max(1, arriving/2), 8, uint16(arriving), 1)
		b.exec("UPDATE product_inventories SET seq = seq + 1")
	})
	var got []string
	for _, s := range found {
		got = append(got, fmt.Sprintf("%d/%d", s.SKU, s.Bucket))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	most := int64(6)
	list, err := b.Stock(t.Context(), ledger.StockFilter{AvailMax: &most}, ledger.Page{})
	if err != nil || len(list.Data) != 3 || list.Data[2].SKU != 6 || list.Data[2].Sale != 0 || list.Next != "" ||
		list.AsOf != untilMS || list.Data[0].UpdatedAt != show.Moment(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC).UnixMilli()) {
		t.Errorf("little stock: %+v, %v", list, err)
	}
}

type made struct {
	id       stock.ReservationID
	sku      int64
	pool     uint32
	user     int64
	state    stock.State
	deadline int64
}

// reservations makes rows at random.
func (b *books) reservations(n int) []made {
	b.t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	rows := make([]made, n)
	cells := map[[2]int64]bool{}
	for i := range rows {
		r := made{
			sku: 1 + random.Int64N(5), pool: uint32(random.IntN(3)), user: 1 + random.Int64N(4), state: stock.State(1 + random.IntN(4)),
			deadline: untilMS + 1000,
		}
		if random.IntN(4) == 0 {
			r.deadline = untilMS // has passed, and the sweep has not come
		}
		binary.BigEndian.PutUint64(r.id[:], random.Uint64())
		rows[i] = r
		if key := [2]int64{r.sku, int64(r.pool)}; !cells[key] {
			cells[key] = true
			b.cell(r.sku, r.pool, 0, 1)
		}
		b.exec(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
			VALUES (?, ?, ?, 0, ?, 1, ?, ?, 5, 1, 1, 6)`, r.id[:], r.sku, r.pool, r.user, r.state.String(), r.deadline)
	}
	slices.SortFunc(rows, func(a, b made) int { return slices.Compare(a.id[:], b.id[:]) })
	return rows
}

// TestReservationsByEveryFilter compares all pages of each filter with the rows that it means.
func TestReservationsByEveryFilter(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	rows := b.reservations(300)
	for _, f := range []ledger.ReservationFilter{
		{},
		{User: 2},
		{User: 2, State: stock.StateHeld},
		{User: 2, Sale: 1},
		{User: 2, SKU: 3},
		{SKU: 3},
		{SKU: 3, Sale: 2},
		{SKU: 3, Sale: 2, State: stock.StateConfirmed},
		{Sale: 1},
		{Sale: 1, State: stock.StateHeld},
		{Sale: 1, State: stock.StateExpired},
		{Sale: 77},
		{User: 99},
	} {
		want := map[string]string{}
		for _, r := range rows {
			inPool := f.Sale == r.pool || f.Sale == 0 && f.SKU == 0
			held := r.state == stock.StateHeld && r.deadline <= untilMS
			if (f.User == 0 || f.User == r.user) && (f.SKU == 0 || f.SKU == r.sku) && inPool &&
				(f.State == stock.StateNone || f.State == r.state && (!held || f.State != stock.StateHeld)) {
				want[r.id.String()] = r.state.String()
				if held {
					want[r.id.String()] = "expired"
				}
			}
		}
		for _, limit := range []int{1, 7, ledger.PageMax} {
			found := all(t, limit, func(p ledger.Page) (ledger.List[ledger.Reservation], error) { return b.Reservations(t.Context(), f, p) }, nil)
			got := map[string]string{}
			for _, r := range found {
				got[r.ID] = r.State
				if r.ReservedMS != 5 || r.ExpiresAt == 0 || r.User == 0 || r.Quantity != 1 {
					t.Errorf("%+v", r)
				}
			}
			if len(found) != len(want) || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%+v by %d: %d found, want %d", f, limit, len(found), len(want))
			}
		}
	}
	if len(rows) != 300 {
		t.Fatal("no rows")
	}
}

// TestReservationsOfALargeSale has more SKUs than are asked for at once, most of them without a reservation.
func TestReservationsOfALargeSale(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	const skus = 450
	values := make([]string, skus)
	for i := range values {
		values[i] = fmt.Sprintf("(%d, 7, 0, 1, 1, 0, 0, 1, 7, NOW(3))", i+1)
	}
	b.exec(`INSERT INTO product_inventories (sku_id, pool, bucket, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq,
		last_updated) VALUES ` + strings.Join(values, ", "))
	var want []show.ID
	for _, sku := range []int{1, 199, 200, 201, 202, 400, 401, skus} {
		for n := range 2 {
			id := stock.ReservationID{0: byte(n), 14: byte(sku >> 8), 15: byte(sku)}
			b.exec(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
				VALUES (?, ?, 7, 0, 3, 1, 'held', ?, 5, 1, 1, 6)`, id[:], sku, untilMS+1000)
			want = append(want, show.ID(sku))
		}
	}
	for _, limit := range []int{1, 3, len(want), ledger.PageMax} {
		found := all(t, limit, func(p ledger.Page) (ledger.List[ledger.Reservation], error) {
			return b.Reservations(t.Context(), ledger.ReservationFilter{Sale: 7, State: stock.StateHeld}, p)
		}, nil)
		var got []show.ID
		for _, r := range found {
			got = append(got, r.SKU)
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %d: %v, want %v", limit, got, want)
		}
	}
}

// TestReservationsAreReadByIndex counts the rows that a page makes the server read.
func TestReservationsAreReadByIndex(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.reservations(1000)
	for _, f := range []ledger.ReservationFilter{
		{}, {User: 2}, {SKU: 3, Sale: 2}, {SKU: 3, Sale: 2, State: stock.StateConfirmed}, {Sale: 1}, {Sale: 1, State: stock.StateReleased},
	} {
		cursor := ""
		for range 2 {
			var list ledger.List[ledger.Reservation]
			n := b.reads(func() (err error) {
				list, err = b.Reservations(t.Context(), f, ledger.Page{Limit: 5, Cursor: cursor})
				return err
			})
			if len(list.Data) != 5 {
				t.Fatalf("%+v: %d rows", f, len(list.Data))
			}
			if n > 60 {
				t.Errorf("%+v after %q: %d rows were read for 5", f, cursor, n)
			}
			cursor = list.Next
		}
	}
}

func TestSalesByPhase(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	const now = untilMS + 1000
	windows := map[sale.Phase][2]int64{
		sale.PhasePlanned: {sale.NotScheduled, 0}, sale.PhaseScheduled: {now + 1, 0}, sale.PhaseOpen: {now, now + 1}, sale.PhaseClosed: {1, now},
	}
	phases := []sale.Phase{sale.PhasePlanned, sale.PhaseScheduled, sale.PhaseOpen, sale.PhaseClosed}
	for id := 1; id <= 20; id++ {
		w := windows[phases[id%4]]
		b.exec(`INSERT INTO sales (sale_id, name, opens_at_ms, closes_at_ms, limit_per_user, hold_ms, acknowledge, shopper_deducts)
			VALUES (?, 'sale', ?, ?, 2, 1000, 'log', TRUE)`, id, w[0], w[1])
	}
	for i, phase := range phases {
		found := all(t, 2, func(p ledger.Page) (ledger.List[ledger.Sale], error) {
			return b.Sales(t.Context(), ledger.SaleFilter{Phase: phase}, p)
		}, nil)
		if len(found) != 5 {
			t.Errorf("%s: %+v", phase, found)
		}
		for _, s := range found {
			if int(s.ID)%4 != i || s.Phase != phase || (s.OpensAt == 0) != (phase == sale.PhasePlanned) || s.Ack != "log" || s.CreatedAt == 0 {
				t.Errorf("%s: %+v", phase, s)
			}
		}
	}
	list, err := b.Sales(t.Context(), ledger.SaleFilter{}, ledger.Page{})
	if err != nil || len(list.Data) != 20 || list.AsOf != now {
		t.Errorf("%d sales as of %d, %v", len(list.Data), list.AsOf, err)
	}
}

// TestRareSaleAmongMany looks for a phase that none of the sales has that are read at once.
func TestRareSaleAmongMany(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	values := make([]string, 2100)
	for i := range values {
		values[i] = fmt.Sprintf("(%d, 'sale', %d, 0, 0, 1000, 'default', FALSE)", i+1, sale.NotScheduled)
	}
	b.exec("INSERT INTO sales (sale_id, name, opens_at_ms, closes_at_ms, limit_per_user, hold_ms, acknowledge, shopper_deducts) VALUES " +
		strings.Join(values, ", "))
	b.exec("UPDATE sales SET opens_at_ms = 1 WHERE sale_id IN (1500, 2100)")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found := all(t, 1, func(p ledger.Page) (ledger.List[ledger.Sale], error) {
		return b.Sales(ctx, ledger.SaleFilter{Phase: sale.PhaseOpen}, p)
	}, nil)
	if len(found) != 2 || found[0].ID != 1500 || found[1].ID != 2100 {
		t.Errorf("%+v", found)
	}
}

// letter puts a dead letter down.
func (b *books) letter(n int, reason string, partition any, data []byte) ledger.LetterID {
	b.t.Helper()
	id := ledger.LetterID{0: byte(n), 1: byte(n >> 8)}
	b.exec(`INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, kafka_partition, kafka_offset, data, created_at)
		VALUES (?, ?, 'why', 5, 0, 0, 1, ?, ?, 9, ?, FROM_UNIXTIME(?))`, id[:], reason, n, partition, data, 1_700_000_000+n/3)
	return id
}

func TestLettersByFilterAndNewestFirst(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	for n := 1; n <= 30; n++ {
		b.letter(n, ledger.Reasons[n%len(ledger.Reasons)], n%4, []byte("x"))
	}
	later := 100
	count := func(f ledger.LetterFilter) int {
		t.Helper()
		found := all(t, 4, func(p ledger.Page) (ledger.List[ledger.Letter], error) { return b.Letters(t.Context(), f, p) }, nil)
		if !slices.IsSortedFunc(found, func(a, b ledger.Letter) int { return int(b.CreatedAt - a.CreatedAt) }) {
			t.Errorf("%+v: not the newest first", f)
		}
		return len(found)
	}
	two := 2
	if n := count(ledger.LetterFilter{Reason: ledger.ReasonFork}); n != 5 {
		t.Errorf("%d forks", n)
	}
	if n := count(ledger.LetterFilter{Partition: &two}); n != 8 {
		t.Errorf("%d of partition 2", n)
	}
	found := all(t, 4, func(p ledger.Page) (ledger.List[ledger.Letter], error) {
		return b.Letters(t.Context(), ledger.LetterFilter{}, p)
	}, func() {
		b.letter(later, ledger.ReasonFork, 0, []byte("x")) // newer than all that was read
		later++
	})
	if len(found) != 30 {
		t.Errorf("%d letters, while others arrive", len(found))
	}
	_, already, err := b.Resolve(t.Context(), found[0].ID, ledger.Decision{By: "me", Reason: "seen"})
	if err != nil || already {
		t.Fatal(already, err)
	}
	if n := count(ledger.LetterFilter{Resolved: "true"}); n != 1 {
		t.Errorf("%d resolved", n)
	}
	if open, any := count(ledger.LetterFilter{}), count(ledger.LetterFilter{Resolved: "any"}); open != any-1 {
		t.Errorf("%d unresolved of %d", open, any)
	}
}

func TestLettersAreDecidedOnce(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	e := event.Event{
		Kind: event.KindReserve, Cell: stock.Cell{SKU: 5}, Position: stock.Position{Epoch: 1, Seq: 2}, User: 3, Quantity: 4, Held: 2,
		DeadlineMS: untilMS,
	}
	bad := b.letter(1, ledger.ReasonInconsistent, nil, event.Append(nil, event.Batch{Partition: 3, TimeMS: 9, Events: []event.Event{e}}))
	fork := b.letter(2, ledger.ReasonFork, 1, []byte("no event"))
	l, err := b.Letter(t.Context(), bad)
	if err != nil || len(l.Events) != 1 || l.Events[0].Kind != "reserve" || l.Events[0].User != 3 || l.Events[0].Fault == "" ||
		l.Partition != 3 || l.RedisMS != 9 || !l.Evidence || !l.Replays || l.KafkaPartition != nil || l.Bytes == 0 {
		t.Errorf("shown: %+v, %v", l, err)
	}
	if l, err := b.Letter(t.Context(), fork); err != nil || l.Unread == "" || !l.Evidence || l.Replays || *l.KafkaPartition != 1 {
		t.Errorf("a fork: %+v, %v", l, err)
	}
	unknown := b.letter(3, ledger.ReasonVersion, 1, []byte("of a newer program"))
	b.exec("UPDATE dead_letters SET sku_id = NULL, pool = NULL, bucket = NULL, epoch = NULL, seq = NULL WHERE letter_id = ?", unknown[:])
	if l, err := b.Letter(t.Context(), unknown); err != nil || !l.Evidence || !l.Replays || l.SKU != 0 {
		t.Errorf("of an unknown version: %+v, %v", l, err)
	}
	me, you := ledger.Decision{By: "me", Reason: "mended"}, ledger.Decision{By: "you", Reason: "really"}
	if _, _, err := b.AskReplay(t.Context(), fork, me); !errors.Is(err, ledger.ErrNeverReplay) {
		t.Errorf("a fork is applied again: %v", err)
	}
	if l, already, err := b.AskReplay(t.Context(), bad, me); err != nil || already || l.ReplayAskedBy != "me" || l.ReplayAskedAt == 0 {
		t.Errorf("asked: %+v, %v, %v", l, already, err)
	}
	if l, already, err := b.AskReplay(t.Context(), bad, you); err != nil || !already || l.ReplayAskedBy != "me" {
		t.Errorf("asked again: %+v, %v, %v", l, already, err)
	}
	b.exec("UPDATE dead_letters SET replay_asked_at = NULL, replay_refusal = 'not yet' WHERE letter_id = ?", bad[:]) // as a persister does
	if l, already, err := b.AskReplay(t.Context(), bad, me); err != nil || already || l.ReplayRefusal != "" {
		t.Errorf("asked after a refusal: %+v, %v, %v", l, already, err)
	}
	if l, already, err := b.Resolve(t.Context(), bad, me); err != nil || already || l.Resolution != "mended" || l.ReplayAskedAt != 0 || l.Evidence {
		t.Errorf("resolved: %+v, %v, %v", l, already, err)
	}
	if l, already, err := b.Resolve(t.Context(), bad, you); err != nil || !already || l.ResolvedBy != "me" || l.Resolution != "mended" {
		t.Errorf("resolved again: %+v, %v, %v", l, already, err)
	}
	if l, already, err := b.AskReplay(t.Context(), bad, you); err != nil || !already || l.ReplayAskedAt != 0 {
		t.Errorf("asked after it was resolved: %+v, %v, %v", l, already, err)
	}
	for _, d := range []ledger.Decision{{}, {By: "me"}, {By: "me", Reason: "a\nb"}, {By: "me", Reason: strings.Repeat("x", 201)}, {By: strings.Repeat("x", 101), Reason: "x"}} {
		if _, _, err := b.Resolve(t.Context(), fork, d); !errors.Is(err, ledger.ErrFilter) {
			t.Errorf("%.80v: %v", d, err)
		}
	}
	nobody := ledger.LetterID{9: 9}
	if _, err := b.Letter(t.Context(), nobody); !errors.Is(err, ledger.ErrNoLetter) {
		t.Error(err)
	}
	if _, _, err := b.Resolve(t.Context(), nobody, me); !errors.Is(err, ledger.ErrNoLetter) {
		t.Error(err)
	}
}

// TestCursorsOfOthersAreRefused takes the cursor of one list to others, and some that nobody gave.
func TestCursorsOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.cell(1, 0, 0, 1)
	b.cell(2, 0, 0, 1)
	b.cell(2, 7, 0, 1)
	list, err := b.Stock(t.Context(), ledger.StockFilter{}, ledger.Page{Limit: 1})
	if err != nil || list.Next == "" {
		t.Fatal(list, err)
	}
	ask := map[string]func(ledger.Page) error{
		"stock": func(p ledger.Page) error { _, err := b.Stock(t.Context(), ledger.StockFilter{}, p); return err },
		"stock of a sale": func(p ledger.Page) error {
			_, err := b.Stock(t.Context(), ledger.StockFilter{Sale: 7}, p)
			return err
		},
		"sales": func(p ledger.Page) error { _, err := b.Sales(t.Context(), ledger.SaleFilter{}, p); return err },
		"reservations": func(p ledger.Page) error {
			_, err := b.Reservations(t.Context(), ledger.ReservationFilter{}, p)
			return err
		},
		"letters": func(p ledger.Page) error { _, err := b.Letters(t.Context(), ledger.LetterFilter{}, p); return err },
	}
	for name, ask := range ask {
		for _, cursor := range []string{list.Next, "x", "====", list.Next + "A", list.Next[:len(list.Next)-1], "\x00", list.Next + "\n"} {
			if err := ask(ledger.Page{Cursor: cursor}); !errors.Is(err, ledger.ErrCursor) && (name != "stock" || cursor != list.Next) {
				t.Errorf("%s with %q: %v", name, cursor, err)
			}
		}
		for _, limit := range []int{-1, ledger.PageMax + 1} {
			if err := ask(ledger.Page{Limit: limit}); !errors.Is(err, ledger.ErrFilter) {
				t.Errorf("%s by %d: %v", name, limit, err)
			}
		}
	}
	minus := int64(-1)
	for what, err := range map[string]error{
		"state alone": func() error {
			_, err := b.Reservations(t.Context(), ledger.ReservationFilter{State: stock.StateHeld}, ledger.Page{})
			return err
		}(),
		"state of adjustments": func() error {
			_, err := b.Reservations(t.Context(), ledger.ReservationFilter{User: 1, State: stock.StateAdjusted}, ledger.Page{})
			return err
		}(),
		"phase": func() error { _, err := b.Sales(t.Context(), ledger.SaleFilter{Phase: "x"}, ledger.Page{}); return err }(),
		"reason": func() error {
			_, err := b.Letters(t.Context(), ledger.LetterFilter{Reason: "x"}, ledger.Page{})
			return err
		}(),
		"resolved": func() error {
			_, err := b.Letters(t.Context(), ledger.LetterFilter{Resolved: "x"}, ledger.Page{})
			return err
		}(),
		"avail": func() error {
			_, err := b.Stock(t.Context(), ledger.StockFilter{AvailMax: &minus}, ledger.Page{})
			return err
		}(),
	} {
		if !errors.Is(err, ledger.ErrFilter) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
