package redisstock_test

import (
	"context"
	"testing"

	"sluice/core/event"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// told are events as MySQL and Kafka know them, by cell and in their order.
type told map[stock.Cell][]heard

type heard struct {
	event.Event
	timeMS int64
}

func (k told) Highest(_ context.Context, yield func(stock.Cell, stock.Position) error) error {
	for cell, events := range k {
		if err := yield(cell, events[len(events)-1].Position); err != nil {
			return err
		}
	}
	return nil
}

func (k told) Forks(context.Context, func(stock.Cell, stock.Position) error) error { return nil }

func (k told) After(_ context.Context, after map[stock.Cell]stock.Position, yield func(stock.Cell, redisstock.Tail) error) error {
	for cell, at := range after {
		var ends []stock.Position
		for i := range k[cell] {
			if e := &k[cell][i]; e.Kind == event.KindRebase && at.Less(e.Position) {
				ends = append(ends, e.Change.From)
			}
		}
		err := yield(cell, redisstock.Tail{Ends: ends, Each: func(yield func(*event.Event, int64) error) error {
			for i := range k[cell] {
				if e := &k[cell][i]; at.Less(e.Position) {
					if err := yield(&e.Event, e.timeMS); err != nil {
						return err
					}
				}
			}
			return nil
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// tell reads all events that a partition's outbox has.
func (s *shop) tell(partitions ...int) told {
	s.Helper()
	all := told{}
	for _, p := range partitions {
		entries, err := s.OutboxAfter(s.Context(), p, "", 100_000)
		if err != nil {
			s.Fatal(err)
		}
		for _, entry := range entries {
			b, err := event.Decode(entry.Data)
			if err != nil {
				s.Fatal(err)
			}
			for _, e := range b.Events {
				all[e.Cell] = append(all[e.Cell], heard{e, b.TimeMS})
			}
		}
	}
	return all
}

// loss is a shop whose partition is about to lose what happens after a copy.
type loss struct {
	*shop

	cfg    redisstock.OpenConfig
	held   stock.Reservation // when the copy was made
	other  stock.Cell
	copied map[string]string
}

func newLoss(t *testing.T) *loss {
	t.Helper()
	s, cfg, marks := opened(t)
	s.Trust(marks)
	held, other := s.two()
	s.reserve(held.Cell, 2, 1)
	l := &loss{shop: s, cfg: cfg, held: held, other: other}
	l.copied = s.dump(partition(held.Cell))
	return l
}

// happen has each operation happen to what the copy has and to what it lacks.
func (l *loss) happen() {
	cell := l.held.Cell
	settle := func(op stock.Op, r stock.Reservation) {
		l.one(op, stock.Request{ID: r.ID, Cell: r.Cell})
	}
	settle(stock.OpConfirm, l.held)
	settle(stock.OpConfirm, l.reserve(cell, 3, 2))
	settle(stock.OpRelease, l.reserve(cell, 4, 1))
	l.reserve(cell, 5, 2)
	l.one(stock.OpDeduct, take(stock.OpDeduct, cell, 6, 1))
	l.one(stock.OpReturn, comesBack(cell, l.held.User, 1))
	l.one(stock.OpAdjust, adjustment(cell, "restock", stock.Adjustment{Delta: 5}))
}

// content has the data of a cell in its partition.
type content struct {
	Balances stock.Balances
	Settings stock.Settings
	Records  map[stock.ReservationID]stock.Reservation
	Buyers   map[int64]int64
}

func (l *loss) content(cell stock.Cell) content {
	l.Helper()
	state := l.state(cell)
	c := content{state.Balances, state.Settings, map[stock.ReservationID]stock.Reservation{}, map[int64]int64{}}
	records, _, err := l.ViewRecords(l.Context(), partition(cell), 0)
	if err != nil {
		l.Fatal(err)
	}
	for _, r := range records {
		c.Records[r.ID] = r
	}
	buyers, _, err := l.ViewBuyers(l.Context(), partition(cell), cell.Pool, 0)
	if err != nil {
		l.Fatal(err)
	}
	for _, b := range buyers {
		c.Buyers[b.User] = b.Units
	}
	return c
}

// lose sets the partition back, and says that others know what happened.
func (l *loss) lose() (known told) {
	known = l.tell(partition(l.held.Cell))
	l.cfg.Evidence, l.cfg.Tails = known, known
	l.setBack(partition(l.held.Cell), l.copied)
	return known
}

func (l *loss) opens() redisstock.OpenReport {
	l.Helper()
	proven := 0
	l.cfg.Proven = func(redisstock.OpenReport) { proven++ }
	report, err := redisstock.Open(l.Context(), l.client, l.cfg)
	if err != nil {
		l.Fatal(err)
	}
	l.Distrust([]int{partition(l.held.Cell)})
	l.Trust(report.Marks)
	if proven != 1 {
		l.Errorf("the others were proven %d times", proven)
	}
	return report
}
