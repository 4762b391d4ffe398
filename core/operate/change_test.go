package operate_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sluice/core/operate"
	"sluice/core/stock"
	"sluice/core/stock/memstock"
)

const nowMS = 1_800_000_000_000

// market is a model with ten units of SKU 1, which sells from 1,000 ms before now on.
type market struct {
	t     *testing.T
	store *memstock.Store
	desk  *operate.Desk
	known stock.Position
}

func newMarket(t *testing.T) *market {
	t.Helper()
	m := &market{t: t, store: memstock.New(8, func() int64 { return nowMS })}
	m.desk = &operate.Desk{
		Reader: m.store, Decide: operate.ByStore(m.store),
		Known: func(context.Context, stock.Cell) (stock.Position, error) { return m.known, nil },
	}
	load := operate.Load(1, 10, stock.Settings{OpensAtMS: nowMS - 1000}, "test", operate.Call{Scope: stock.ScopeLoad, Key: "load"})
	if d, err := do(t.Context(), m.desk, load); err != nil || d.Verdict != stock.VerdictOK || d.Cell.Avail != 10 || d.Cell.Hold != stock.HoldDefault {
		t.Fatalf("load: %+v, %v", d, err)
	}
	return m
}

// do checks a change, and has it decided.
func do(ctx context.Context, d *operate.Desk, c *operate.Change) (operate.Decision, error) {
	if _, err := d.Check(ctx, c); err != nil {
		return operate.Decision{}, err
	}
	r := c.Request(d.Reader.Partitions())
	return d.Decide(ctx, &r)
}

func (m *market) cell() stock.CellState {
	m.t.Helper()
	cells, _, err := m.store.Cells(m.t.Context(), []stock.Cell{{SKU: 1}})
	if err != nil {
		m.t.Fatal(err)
	}
	return cells[0]
}

var sku1 = stock.Cell{SKU: 1}

func by(key string) operate.Call { return operate.Call{Scope: stock.ScopeCommand, Key: key} }

func opens(ms int64) stock.Settings  { return stock.Settings{OpensAtMS: ms} }
func closes(ms int64) stock.Settings { return stock.Settings{ClosesAtMS: ms} }

func ruleOf(err error) operate.Rule {
	r := new(operate.RefusedError)
	if errors.As(err, &r) {
		return r.Rule
	}
	return 0
}

// The rules hold wherever a change is asked for, and what they refuse changes nothing.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change *operate.Change
		want   operate.Rule
	}{
		{"a delta", operate.Adjust(sku1, 5, 0, stock.Settings{}, "test", by("")), 0},
		{"a setting", operate.Adjust(sku1, 0, stock.FieldLimit, stock.Settings{Limit: 2}, "test", by("")), 0},
		{"nothing", operate.Adjust(sku1, 0, 0, stock.Settings{}, "test", by("")), operate.RuleNothing},
		{"a window in a sale", operate.Adjust(stock.Cell{SKU: 1, Pool: 7}, 0, stock.FieldClosesAt, closes(nowMS+1), "test", by("")), operate.RuleSaleWindow},
		{"room for all but one unit", operate.Adjust(sku1, stock.UnitsMax-10, 0, stock.Settings{}, "test", by("")), 0},
		{"no room", operate.Adjust(sku1, stock.UnitsMax-9, 0, stock.Settings{}, "test", by("")), operate.RuleRoom},
		{"a closing to come", operate.Adjust(sku1, 0, stock.FieldClosesAt, closes(nowMS+1), "test", by("")), 0},
		{"a closing now", operate.Adjust(sku1, 0, stock.FieldClosesAt, closes(nowMS), "test", by("")), operate.RuleOver},
		{"a closing before the opening", operate.Adjust(sku1, 0, stock.FieldClosesAt, closes(nowMS-1000), "test", by("")), operate.RuleNeverSells},
		{"no closing", operate.Adjust(sku1, 0, stock.FieldClosesAt, closes(0), "test", by("")), 0},
		{"an opening to come", operate.Adjust(sku1, 0, stock.FieldOpensAt, opens(nowMS+1), "test", by("")), 0},
		{"a SKU that closes before it opens", operate.Load(2, 1, stock.Settings{OpensAtMS: nowMS + 2, ClosesAtMS: nowMS + 1}, "test", by("k")), operate.RuleNeverSells},
		{"a SKU that is over", operate.Load(2, 1, closes(nowMS), "test", by("k")), operate.RuleOver},
		{"a SKU that closes", operate.Load(2, 1, closes(nowMS+1), "test", by("k")), 0},
	} {
		m := newMarket(t)
		before := m.cell()
		_, err := m.desk.Check(t.Context(), c.change)
		if ruleOf(err) != c.want || c.want == 0 && err != nil {
			t.Errorf("%s: %v, want rule %d", c.name, err, c.want)
		}
		if c.change.Adjustment.Create {
			continue
		}
		if _, err := m.desk.Foresee(t.Context(), *c.change); ruleOf(err) != c.want || c.want == 0 && err != nil {
			t.Errorf("%s, foreseen: %v, want rule %d", c.name, err, c.want)
		}
		if _, err := do(t.Context(), m.desk, c.change); ruleOf(err) != c.want {
			t.Errorf("%s, done: %v, want rule %d", c.name, err, c.want)
		}
		if c.want != 0 && m.cell() != before {
			t.Errorf("%s: it is refused, and changed the cell", c.name)
		}
	}
}

// A change that was made is not refused for what has become of time and stock since: it has its answer.
func TestWhatWasMadeHasItsAnswer(t *testing.T) {
	t.Parallel()
	now := int64(nowMS)
	store := memstock.New(8, func() int64 { return now })
	desk := &operate.Desk{Reader: store, Decide: operate.ByStore(store)}
	if _, err := do(t.Context(), desk, operate.Load(1, 10, stock.Settings{}, "test", by("load"))); err != nil {
		t.Fatal(err)
	}
	change := operate.Adjust(sku1, 0, stock.FieldClosesAt, closes(nowMS+1000), "test", by("k"))
	reopen := operate.Adjust(sku1, 0, stock.FieldClosesAt, closes(nowMS+time.Hour.Milliseconds()), "test", by("later"))
	for _, c := range []*operate.Change{change, reopen} {
		if d, err := do(t.Context(), desk, c); err != nil || d.Verdict != stock.VerdictOK {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	now += 2000
	if d, err := do(t.Context(), desk, change); err != nil || d.Verdict != stock.VerdictReplayed {
		t.Errorf("repeated with its key: %+v, %v", d, err)
	}
	f, err := desk.Foresee(t.Context(), *change)
	if err != nil {
		t.Fatalf("foreseen again: %v", err)
	}
	if done, err := f.Do(t.Context()); err != nil || !done.Replayed || done.Changed {
		t.Errorf("repeated with its key: %+v, %v", done, err)
	}
	change.Key = "another"
	if _, err := do(t.Context(), desk, change); ruleOf(err) != operate.RuleOver {
		t.Errorf("with another key: %v", err)
	}
}

func TestForesee(t *testing.T) {
	t.Parallel()
	m := newMarket(t)
	f, err := m.desk.Foresee(t.Context(), *operate.Adjust(sku1, -3, stock.FieldLimit, stock.Settings{Limit: 2}, "test", by("")))
	if err != nil || !f.Changed || f.Idle() || f.Before.Avail != 10 || f.After.Avail != 7 || f.After.Total != 7 || f.After.Limit != 2 || f.Key == "" {
		t.Fatalf("foreseen: %+v, %v", f, err)
	}
	if m.cell() != f.Before {
		t.Fatal("to foresee a change changed the cell")
	}
	if done, err := f.Do(t.Context()); err != nil || !done.Changed || done.Replayed || done.After != m.cell() || done.After != f.After || done.Key != f.Key {
		t.Errorf("done: %+v, %v; the cell is %+v", done, err, m.cell())
	}
	again := by(f.Key)
	f, err = m.desk.Foresee(t.Context(), *operate.Adjust(sku1, -3, stock.FieldLimit, stock.Settings{Limit: 2}, "test", again))
	if err != nil {
		t.Fatal(err)
	}
	if done, err := f.Do(t.Context()); err != nil || !done.Replayed || done.Changed || done.After.Avail != 7 {
		t.Errorf("repeated: %+v, %v", done, err)
	}
}

// A change of nothing is none, unless its key is to be remembered, or the cell has to say that it is shut.
func TestAChangeOfNothing(t *testing.T) {
	t.Parallel()
	m := newMarket(t)
	for _, c := range []struct {
		frozen  bool
		key     string
		changed bool
		seqs    uint64
	}{
		{false, "", false, 0},
		{true, "", true, 1},
		{true, "", false, 0},
		{true, "k", false, 1},
		{false, "", true, 1},
	} {
		before := m.cell()
		f, err := m.desk.Foresee(t.Context(), *operate.Freeze(sku1, c.frozen, "test", by(c.key)))
		if err != nil {
			t.Fatal(err)
		}
		done, err := f.Do(t.Context())
		if err != nil || done.Changed != c.changed || m.cell().Seq != before.Seq+c.seqs || f.Idle() != (c.seqs == 0) {
			t.Errorf("%+v: %+v, %v; event %d after %d", c, done, err, m.cell().Seq, before.Seq)
		}
	}
}

func TestForeseeRefuses(t *testing.T) {
	t.Parallel()
	m := newMarket(t)
	one := func(cell stock.Cell, delta int64) operate.Change {
		return *operate.Adjust(cell, delta, 0, stock.Settings{}, "test", by(""))
	}
	_, err := m.desk.Foresee(t.Context(), one(stock.Cell{SKU: 2}, 1))
	if r := new(operate.RefusedError); !errors.As(err, &r) || r.Rule != operate.RuleVerdict || r.Verdict != stock.VerdictNotLoaded {
		t.Errorf("a SKU that is not loaded: %v", err)
	}
	f, err := m.desk.Foresee(t.Context(), one(sku1, -11))
	if err != nil {
		t.Fatal(err)
	}
	_, did := f.Do(t.Context())
	for _, err := range []error{f.Rehearse(), did} {
		if r := new(operate.RefusedError); !errors.As(err, &r) || r.Rule != operate.RuleVerdict || r.Verdict != stock.VerdictSoldOut {
			t.Errorf("more units than there are: %v", err)
		}
	}
	m.known = m.cell().Position
	if _, err := m.desk.Foresee(t.Context(), one(sku1, 1)); err != nil {
		t.Errorf("MySQL has what Redis has: %v", err)
	}
	m.known.Seq++
	if _, err := m.desk.Foresee(t.Context(), one(sku1, 1)); ruleOf(err) != operate.RuleLost {
		t.Errorf("Redis lacks what MySQL has: %v", err)
	}
}

func TestTransferStaysInItsSKU(t *testing.T) {
	t.Parallel()
	move := operate.Transfer{SKU: 1, From: 7, To: 7, Units: 1}
	if _, err := move.Request(); ruleOf(err) != operate.RuleSameStock {
		t.Errorf("to where the units are: %v", err)
	}
	move.To = 0
	r, err := move.Request()
	if err != nil || r.From != (stock.Cell{SKU: 1, Pool: 7}) || r.To != sku1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A change without a preview has the same answer as one that was foreseen: what it did, whether it repeats, what refuses it.
func TestChangeIsCheckedAndDecided(t *testing.T) {
	t.Parallel()
	m := newMarket(t)
	give := operate.Adjust(sku1, 5, 0, stock.Settings{}, "test", by("give"))
	for _, replayed := range []bool{false, true} {
		done, err := m.desk.Change(t.Context(), give)
		if err != nil || done.Replayed != replayed || done.Changed == replayed || m.cell().Avail != 15 {
			t.Errorf("replayed is %v: %+v, %v", replayed, done, err)
		}
	}
	take := operate.Adjust(sku1, -16, 0, stock.Settings{}, "test", by("take"))
	if _, err := m.desk.Change(t.Context(), take); ruleOf(err) != operate.RuleVerdict {
		t.Errorf("more than there is: %v", err)
	}
	window := operate.Adjust(sku1, 0, stock.FieldClosesAt, closes(nowMS-1), "test", by("close"))
	if _, err := m.desk.Change(t.Context(), window); ruleOf(err) != operate.RuleOver {
		t.Errorf("a closing that has passed: %v", err)
	}
}

// A key belongs to one change: another one under it is refused, and changes nothing.
func TestKeyBelongsToOneChange(t *testing.T) {
	t.Parallel()
	m := newMarket(t)
	if _, err := m.desk.Change(t.Context(), operate.Adjust(sku1, 5, 0, stock.Settings{}, "test", by("give"))); err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]*operate.Change{
		"units":   operate.Adjust(sku1, 6, 0, stock.Settings{}, "test", by("give")),
		"reason":  operate.Adjust(sku1, 5, 0, stock.Settings{}, "another", by("give")),
		"setting": operate.Adjust(sku1, 5, stock.FieldLimit, stock.Settings{Limit: 1}, "test", by("give")),
	} {
		_, err := m.desk.Change(t.Context(), other)
		if r := new(operate.RefusedError); !errors.As(err, &r) || r.Verdict != stock.VerdictMismatch || m.cell().Avail != 15 {
			t.Errorf("other %s under the same key: %v, %d units", name, err, m.cell().Avail)
		}
	}
}

// Where a store does not tell of the cell, the effect is the one that was foreseen.
func TestEffectOfAStoreThatTellsOfNoCell(t *testing.T) {
	t.Parallel()
	m := newMarket(t)
	m.desk.Decide = func(context.Context, *stock.Request) (operate.Decision, error) {
		return operate.Decision{Verdict: stock.VerdictOK}, nil
	}
	f, err := m.desk.Foresee(t.Context(), *operate.Adjust(sku1, 5, 0, stock.Settings{}, "test", by("")))
	if err != nil {
		t.Fatal(err)
	}
	if done, err := f.Do(t.Context()); err != nil || !done.Changed || done.After.Avail != 15 {
		t.Errorf("%+v, %v", done, err)
	}
}

// A change of nothing is sent to a cell that is shut, so that its caller hears of that.
func TestAChangeOfNothingTellsThatTheCellIsShut(t *testing.T) {
	t.Parallel()
	m := newMarket(t)
	m.store.Edit(sku1, func(c *stock.CellState) { c.Fenced = true })
	f, err := m.desk.Foresee(t.Context(), *operate.Freeze(sku1, false, "test", by("")))
	if err != nil || f.Idle() {
		t.Fatalf("idle %v, error %v", f.Idle(), err)
	}
	_, err = f.Do(t.Context())
	if r := new(operate.RefusedError); !errors.As(err, &r) || r.Verdict != stock.VerdictFenced {
		t.Errorf("error %v", err)
	}
}
