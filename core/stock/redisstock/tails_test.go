package redisstock_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/event"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// TestLostTailIsRebuilt sets a partition back. Afterwards it holds what it held before, in a new epoch, and sells.
func TestLostTailIsRebuilt(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		l := newLoss(t)
		cell := l.held.Cell
		l.happen()
		want, last := l.content(cell), l.state(cell).Position
		l.lose()
		if restart {
			l.must("SCRIPT", "", "FLUSH")
		}
		report := l.opens()
		if diff := cmp.Diff(want, l.content(cell)); diff != "" {
			t.Errorf("(-lost +rebuilt):\n%s", diff)
		}
		to := stock.Position{Epoch: last.Epoch + 1, Seq: last.Seq + 1}
		if got := l.state(cell).Position; got != to || report.RebuiltCells != 1 || report.Rebuilt[0].To != to {
			t.Errorf("it is at %v, want %v: %+v", got, to, report.Rebuilt)
		}
		events := l.tell(partition(cell))[cell]
		if e := events[len(events)-1]; e.Kind != event.KindRebase || e.Change.From != last || e.Check() != nil {
			t.Errorf("the last event is %+v", e)
		}
		l.reserve(cell, 99, 1)
		// Every hold that there is ends: each is in the list of deadlines.
		for id, r := range want.Records {
			if r.State == stock.StateHeld {
				member := string(append([]byte{0, 0, 0, 0}, id[:]...))
				if !l.listed(redisstock.DueKey(partition(cell)), member[4:]) {
					t.Errorf("%v has no deadline", id)
				}
			} else if !l.listed(redisstock.GoneKey(partition(cell)), string(id[:])) {
				t.Errorf("%v is never forgotten", id)
			}
		}
	}
}

func (l *loss) listed(key, id string) bool {
	for member := range l.scores(key) {
		if strings.Contains(member, id) {
			return true
		}
	}
	return false
}

// TestLostCellIsRebuilt removes a cell from a partition, with all its records.
func TestLostCellIsRebuilt(t *testing.T) {
	t.Parallel()
	l := newLoss(t)
	cell := stock.Cell{SKU: newCell().SKU}
	for partition(cell) != partition(l.held.Cell) {
		cell.SKU++
	}
	l.one(stock.OpAdjust, creation(cell, 7, stock.Settings{Limit: 2}))
	l.reserve(cell, 1, 2)
	want := l.content(cell)
	l.lose()
	l.opens()
	if diff := cmp.Diff(want, l.content(cell)); diff != "" {
		t.Errorf("(-lost +rebuilt):\n%s", diff)
	}
}

// TestRebuildGoesOn ends an attempt after each of its parts, as a kill does. The next attempt has the same result.
func TestRebuildGoesOn(t *testing.T) {
	t.Parallel()
	l := newLoss(t)
	cell := l.held.Cell
	l.happen()
	want := l.content(cell)
	known := l.lose()
	broken := errors.New("killed")
	l.cfg.WriteRecordsOneByOne()
	for after := range len(known[cell]) - 3 { // the copy has three of them
		l.cfg.Tails = cutOff{known, after, broken}
		if _, err := redisstock.Open(t.Context(), l.client, l.cfg); !errors.Is(err, broken) || !errors.Is(err, redisstock.ErrVetting) {
			t.Fatalf("after %d events: %v", after, err)
		}
	}
	l.cfg.Tails = known
	l.opens()
	if diff := cmp.Diff(want, l.content(cell)); diff != "" {
		t.Errorf("(-lost +rebuilt):\n%s", diff)
	}
}

// cutOff fails after so many events. All their records are written.
type cutOff struct {
	told
	after int
	err   error
}

func (c cutOff) After(ctx context.Context, after map[stock.Cell]stock.Position, yield func(stock.Cell, redisstock.Tail) error) error {
	return c.told.After(ctx, after, func(cell stock.Cell, tail redisstock.Tail) error {
		return yield(cell, redisstock.Tail{Ends: tail.Ends, Each: func(yield func(*event.Event, int64) error) error {
			n := 0
			return tail.Each(func(e *event.Event, timeMS int64) error {
				if n++; n > c.after {
					return c.err
				}
				return yield(e, timeMS)
			})
		}})
	})
}

// TestLostTwice loses the tail twice, the second time with the rebase of the first. The second vetting may begin the
// same epoch again, because nobody has sold in it: a partition whose rebase is not in Kafka does not open.
func TestLostTwice(t *testing.T) {
	t.Parallel()
	l := newLoss(t)
	cell, p := l.held.Cell, partition(l.held.Cell)
	l.happen()
	last := l.state(cell).Position
	known := l.lose()
	away := errors.New("kafka is away")
	l.cfg.Publish = func(context.Context, []stock.Entry) error { return away }
	if _, err := redisstock.Open(t.Context(), l.client, l.cfg); !errors.Is(err, away) {
		t.Fatalf("opened without kafka: %v", err)
	}
	if n, err := l.run("EXISTS", redisstock.MarkKey(p)).AsInt64(); err != nil || n != 0 {
		t.Fatalf("it sells in an epoch that nobody else knows of (%v)", err)
	}
	published := 0
	l.cfg.Publish = func(_ context.Context, entries []stock.Entry) error {
		for _, entry := range entries {
			b, err := event.Decode(entry.Data)
			if err != nil {
				return err
			}
			for _, e := range b.Events {
				known[e.Cell] = append(known[e.Cell], heard{e, b.TimeMS})
				published++
			}
		}
		return nil
	}
	l.opened()
	if published != 1 {
		t.Errorf("%d events were published, want the rebase", published)
	}
	l.must("SCRIPT", "", "FLUSH") // as a restart does
	l.opened()
	if published != 1 {
		t.Errorf("published again: %d events", published)
	}
	l.reserve(cell, 77, 1) // nobody is told of it
	l.setBack(p, l.copied)
	l.must("SCRIPT", "", "FLUSH")
	l.opened()
	want := stock.Position{Epoch: last.Epoch + 2, Seq: last.Seq + 2}
	if got := l.state(cell).Position; got != want {
		t.Errorf("it went on at %v, want %v: the event of what was lost is in the epoch before", got, want)
	}
}

// opened opens Redis.
func (l *loss) opened() {
	l.Helper()
	report, err := redisstock.Open(l.Context(), l.client, l.cfg)
	if err != nil {
		l.Fatal(err)
	}
	l.Distrust([]int{partition(l.held.Cell)})
	l.Trust(report.Marks)
}

// TestRebuildByMany lets several processes rebuild at once: one of them does it.
func TestRebuildByMany(t *testing.T) {
	t.Parallel()
	l := newLoss(t)
	cell := l.held.Cell
	l.happen()
	want, last := l.content(cell), l.state(cell).Position
	l.lose()
	l.must("SCRIPT", "", "FLUSH")
	errs := make(chan error)
	for range 4 {
		go func() {
			_, err := redisstock.Open(t.Context(), l.client, l.cfg)
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Log(err) // it may have lost each race
		}
	}
	l.cfg.Tails = nil
	report, err := redisstock.Open(t.Context(), l.client, l.cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.Trust(report.Marks)
	if diff := cmp.Diff(want, l.content(cell)); diff != "" {
		t.Errorf("(-lost +rebuilt):\n%s", diff)
	}
	if got, to := l.state(cell).Position, (stock.Position{Epoch: last.Epoch + 1, Seq: last.Seq + 1}); got != to {
		t.Errorf("it is at %v, want %v", got, to)
	}
}

// TestUnseenEventsAreNamed loses the middle of a lost tail everywhere. Holds that have no units any more are revoked,
// the newest first.
func TestUnseenEventsAreNamed(t *testing.T) {
	t.Parallel()
	l := newLoss(t)
	cell := l.held.Cell
	l.one(stock.OpRelease, stock.Request{ID: l.held.ID, Cell: cell}) // nobody has heard of it
	free := l.state(cell).Avail
	newest := l.reserve(cell, 7, free) // takes all that is free, which the released unit is among
	known := l.lose()
	at := slices.IndexFunc(known[cell], func(e heard) bool { return e.Kind == event.KindRelease })
	known[cell] = slices.Delete(known[cell], at, at+1)
	report := l.opens()
	if len(report.Rebuilt) != 1 || report.Rebuilt[0].Lost.Events != 1 || report.Rebuilt[0].Revoked != 1 {
		t.Fatalf("%+v", report.Rebuilt)
	}
	after := l.content(cell)
	if got := after.Records[newest.ID]; got.State != stock.StateRevoked || got.Counted {
		t.Errorf("the newest hold: %+v", got)
	}
	if got := after.Records[l.held.ID]; got.State != stock.StateHeld {
		t.Errorf("the oldest hold: %+v", got)
	}
	if want := map[int64]int64{1: 1, 2: 1}; !maps.Equal(after.Buyers, want) {
		t.Errorf("users have %v, want %v", after.Buyers, want)
	}
	var kinds []event.Kind
	for _, e := range l.tell(partition(cell))[cell] {
		if kinds = append(kinds, e.Kind); e.Check() != nil {
			t.Error(e.Check())
		}
	}
	if want := []event.Kind{event.KindRebase, event.KindRevoke, event.KindRebase}; !slices.Equal(kinds[len(kinds)-3:], want) {
		t.Errorf("events %v, want %v at the end", kinds, want)
	}
}

// TestFencedCellIsReopened lets a caller who has seen more fence a cell. The next vetting opens it in a new epoch.
func TestFencedCellIsReopened(t *testing.T) {
	t.Parallel()
	l := newLoss(t)
	cell := l.held.Cell
	known := l.tell(partition(cell))
	l.cfg.Evidence, l.cfg.Tails = known, known
	r := take(stock.OpReserve, cell, 8, 1)
	r.Fence = stock.Position{Epoch: 1, Seq: 100}
	if o := l.one(stock.OpReserve, r); o.Verdict != stock.VerdictFenced {
		t.Fatal(o.Verdict)
	}
	want := l.state(cell).Balances
	l.opens()
	if got := l.state(cell); got.Fenced || got.Balances != want || got.Epoch != 2 {
		t.Errorf("%+v, want %+v", got, want)
	}
	l.reserve(cell, 8, 1)
}

// TestTailThatCannotBeProven stays shut, and says why.
func TestTailThatCannotBeProven(t *testing.T) {
	t.Parallel()
	l := newLoss(t)
	cell := l.held.Cell
	l.happen()
	known := l.lose()
	l.cfg.Tails = told{cell: known[cell][:len(known[cell])-1]} // the last one is a dead letter
	report, err := redisstock.Open(t.Context(), l.client, l.cfg)
	if !errors.Is(err, redisstock.ErrVetting) || !strings.Contains(err.Error(), "sluice deadletter list") || len(report.Lost) != 1 {
		t.Errorf("%+v, %v", report.Lost, err)
	}
}

// TestCopyWithEffectsThatWereDeclaredLost brings the first Redis back after another one has gone on without its last
// effects. Its holds are of units that were sold again, so it stays as it is.
func TestCopyWithEffectsThatWereDeclaredLost(t *testing.T) {
	t.Parallel()
	l := newLoss(t)
	cell, p := l.held.Cell, partition(l.held.Cell)
	l.happen()
	known := l.tell(p)
	l.cfg.Evidence, l.cfg.Tails = known, known
	for user := range int64(3) { // nobody hears of these
		l.reserve(cell, 70+user, 1)
	}
	first := l.dump(p)

	l.setBack(p, l.copied)
	l.opens()
	genuine := l.reserve(cell, 99, 1)
	for _, e := range l.tell(p)[cell] {
		if e.Epoch > 1 {
			known[cell] = append(known[cell], e)
		}
	}
	second := l.dump(p)

	l.setBack(p, first)
	l.must("SCRIPT", "", "FLUSH")
	report, err := redisstock.Open(t.Context(), l.client, l.cfg)
	if !errors.Is(err, redisstock.ErrVetting) || !strings.Contains(err.Error(), "declared lost") || report.RebuiltCells != 0 || len(report.Lost) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	after := l.dump(p)
	for _, key := range []string{redisstock.CellsKey(p), redisstock.ResKey(p), redisstock.DueKey(p)} {
		if after[key] != first[key] {
			t.Errorf("%s was changed", key)
		}
	}

	l.setBack(p, second) // the newer copy has everything
	l.must("SCRIPT", "", "FLUSH")
	if report, err = redisstock.Open(t.Context(), l.client, l.cfg); err != nil || report.RebuiltCells != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	l.Distrust([]int{p})
	l.Trust(report.Marks)
	if got := l.content(cell).Records[genuine.ID]; got.State != stock.StateHeld {
		t.Errorf("the hold of the second one: %+v", got)
	}
}

// TestOpenOfManyReservations vets a server without scripts that has many open reservations.
func TestOpenOfManyReservations(t *testing.T) {
	t.Parallel()
	l := newLoss(t)
	const many = 20_000
	cell := l.load(many+1, stock.Settings{})
	for first := int64(0); first < many; first += stock.VectorMax {
		var requests []stock.Request
		for i := first; i < min(first+stock.VectorMax, many); i++ {
			requests = append(requests, take(stock.OpReserve, cell, 1000+i, 1))
		}
		if v := l.do(stock.OpReserve, requests...); v.Err != nil {
			t.Fatal(v.Err)
		}
	}
	p := partition(cell)
	copied := l.dump(p)
	l.reserve(cell, 9, 1)
	known := l.tell(p)
	l.cfg.Evidence, l.cfg.Tails = known, known
	l.must("SCRIPT", "", "FLUSH")
	began := time.Now()
	if _, err := redisstock.Open(t.Context(), l.client, l.cfg); err != nil {
		t.Fatal(err)
	}
	t.Logf("vetted and opened with %d open reservations in %v", many, time.Since(began))
	l.setBack(p, copied)
	l.must("SCRIPT", "", "FLUSH")
	began = time.Now()
	if report, err := redisstock.Open(t.Context(), l.client, l.cfg); err != nil || report.RebuiltCells != 1 {
		t.Fatal(report.RebuiltCells, err)
	}
	t.Logf("rebuilt a cell with %d open reservations in %v", many, time.Since(began))
	l.trust()
	if state := l.state(cell); state.Held != many+1 || state.Avail != 0 {
		t.Errorf("%+v", state)
	}
}

// overtaken lets another vetting come and go after a comparison.
type overtaken struct {
	told

	by func()
}

func (o *overtaken) Forks(context.Context, func(stock.Cell, stock.Position) error) error {
	if by := o.by; by != nil {
		o.by = nil
		by()
	}
	return nil
}

// TestOvertakenVettingShutsNothing lets one process rebuild and open a partition that another one has found to be
// behind.
func TestOvertakenVettingShutsNothing(t *testing.T) {
	t.Parallel()
	l := newLoss(t)
	cell := l.held.Cell
	l.happen()
	last := l.state(cell).Position
	known := l.lose()
	first := l.cfg
	var opened redisstock.OpenReport
	l.cfg.Evidence = &overtaken{known, func() {
		var err error
		if opened, err = redisstock.Open(t.Context(), l.client, first); err != nil {
			t.Error(err)
		}
	}}
	report, err := redisstock.Open(t.Context(), l.client, l.cfg)
	if err != nil || report.RebuiltCells != 0 || opened.RebuiltCells != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	l.Trust(opened.Marks)
	if got, to := l.state(cell).Position, (stock.Position{Epoch: last.Epoch + 1, Seq: last.Seq + 1}); got != to {
		t.Errorf("it is at %v, want %v", got, to)
	}
	l.reserve(cell, 99, 1) // the process that opened it still sells
}
