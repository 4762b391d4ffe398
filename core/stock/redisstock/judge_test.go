package redisstock

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/core/stock"
)

// judged has the findings of two open partitions of a deployment, with what edit makes of them.
func judged(edit func(f *findings)) (*findings, judgement) {
	const deployment = "d"
	f := newFindings(OpenConfig{Partitions: 2})
	f.ledger, f.database.ID = "db", "db"
	for p := range f.partitions {
		mark := stock.Mark{Nonce: 7, Effects: 100}
		f.partitions[p] = partitionFindings{
			mark: mark, kept: mark, sign: true, stored: true, whose: meta{metaFormatNow, "2", deployment},
			counts: counts{cells: 1, res: 2, gone: 1, due: 1, outbox: 1},
		}
	}
	edit(&f)
	return &f, judge(&f, deployment)
}

// TestJudge edits one finding, or more. wanted are parts of the objections, in order: to opening anything, and to opening
// some partitions. open, stop and sell are the partitions that get a nonce, that are refused, and that sell meanwhile.
func TestJudge(t *testing.T) {
	t.Parallel()
	cell := stock.Cell{SKU: 1}
	behind := func(f *findings, p int) {
		f.note(p, Behind{Cell: cell, Redis: stock.Position{Epoch: 1, Seq: 4}, Known: stock.Position{Epoch: 1, Seq: 9}}, false, false)
	}
	restarted := func(f *findings) {
		f.partitions[0].sign, f.partitions[1].sign = false, false
	}
	empty := func(f *findings, p int) {
		f.partitions[p] = partitionFindings{kept: f.partitions[p].kept, sign: f.partitions[p].sign}
	}
	for name, c := range map[string]struct {
		edit             func(f *findings)
		causes, partly   []string
		missing          bool
		open, stop, sell []int
	}{
		"nothing is wrong":       {edit: func(*findings) {}, sell: []int{0, 1}},
		"the servers restarted":  {edit: restarted, open: []int{0, 1}},
		"one server restarted":   {edit: func(f *findings) { f.partitions[1].sign = false }, open: []int{1}, sell: []int{0}},
		"it has another nonce":   {edit: func(f *findings) { f.partitions[1].mark.Nonce = 8 }, open: []int{1}, sell: []int{0}},
		"it has no mark":         {edit: func(f *findings) { f.partitions[1].mark = stock.Mark{} }, open: []int{1}, sell: []int{0}},
		"it has grown":           {edit: func(f *findings) { f.partitions[1].mark.Effects++ }, sell: []int{0, 1}},
		"it was set back":        {edit: func(f *findings) { f.partitions[1].mark.Effects-- }, open: []int{1}, sell: []int{0}},
		"the caller saw more":    {edit: func(f *findings) { f.partitions[1].seen = stock.Mark{Nonce: 7, Effects: 101} }, open: []int{1}, sell: []int{0}},
		"the caller saw another": {edit: func(f *findings) { f.partitions[1].seen = stock.Mark{Nonce: 6, Effects: 999} }, sell: []int{0, 1}},
		"a server has a fault": {
			edit: func(f *findings) { f.fault("%s is too old", "a:1") }, causes: []string{"a:1 is too old"},
		},
		"it is another deployment's": {
			edit:   func(f *findings) { f.partitions[0].whose.deployment = "x" },
			causes: []string{`partition 0: of deployment "x", not "d"`},
		},
		"it has other partitions": {
			edit:   func(f *findings) { f.partitions[0].whose.partitions, f.partitions[1].whose.partitions = "4", "4" },
			causes: []string{"partitions 0-1: of a deployment of 4 partitions, not 2"},
		},
		"the database is of another deployment": {edit: func(f *findings) { f.database.Deployment = "theirs" }, causes: []string{`the MySQL database is of deployment "theirs", not`}},
		"its ledger is elsewhere":               {edit: func(f *findings) { f.ledger = "other" }, causes: []string{"its ledger is in the MySQL database with the id other"}},
		"nobody has claimed the ledger":         {edit: func(f *findings) { f.ledger = "" }, sell: []int{0, 1}},
		"stock of nobody": {
			edit: func(f *findings) { f.partitions[1].whose = meta{} }, causes: []string{"1 partitions hold stock but not whose it is"},
		},
		"a new deployment": {
			edit: func(f *findings) {
				*f = newFindings(OpenConfig{Partitions: 2})
				f.database.ID = "db"
			}, missing: true, open: []int{0, 1},
		},
		"all is gone that was opened before": {
			edit: func(f *findings) { restarted(f); empty(f, 0); empty(f, 1) }, missing: true,
			causes: []string{"it holds nothing, but MySQL knows that the deployment was opened before"}, open: []int{0, 1},
		},
		"all is gone that others know of": {
			edit: func(f *findings) {
				*f = newFindings(OpenConfig{Partitions: 2})
				behind(f, 1)
			}, missing: true, causes: []string{"it holds nothing, but others know of its cells"}, partly: []string{"partition 1: it has lost effects"},
			open: []int{0}, stop: []int{1},
		},
		"one partition is gone": {
			edit: func(f *findings) { empty(f, 1) }, partly: []string{"partition 1: it holds nothing"}, sell: []int{0},
		},
		"one partition is gone, after a restart": {
			edit: func(f *findings) { restarted(f); empty(f, 1) }, partly: []string{"partition 1: it holds nothing"}, open: []int{0}, stop: []int{1},
		},
		"a cell is behind": {
			edit:   func(f *findings) { behind(f, 1) },
			partly: []string{"partition 1: it has lost effects of 1 cells, most of these: sku 1 is at epoch 1 seq 4, known is epoch 1 seq 9"},
			stop:   []int{1}, sell: []int{0},
		},
		"a cell is behind, after a restart": {
			edit:   func(f *findings) { restarted(f); behind(f, 1) },
			partly: []string{"partition 1: it has lost effects"}, open: []int{0}, stop: []int{1},
		},
		"a cell is behind in data that others sell": {
			edit:   func(f *findings) { behind(f, 1); f.partitions[1].mark.Nonce = 8 },
			causes: []string{"partition 1: it has data that were vetted, but not with what this MySQL has of them"},
			partly: []string{"partition 1: it has lost effects"}, sell: []int{0},
		},
		"a cell is behind in data that others sold before a restart": {
			edit:   func(f *findings) { restarted(f); behind(f, 1); f.partitions[1].mark.Nonce = 8 },
			partly: []string{"partition 1: it has lost effects"}, open: []int{0}, stop: []int{1},
		},
		"a cell is behind, and a server has a fault": {
			edit:   func(f *findings) { behind(f, 1); f.fault("too old") },
			causes: []string{"too old"}, partly: []string{"partition 1: it has lost effects"}, stop: []int{1},
		},
		"a cell has a fork": {
			edit:   func(f *findings) { f.fork(0, cell, stock.Position{Epoch: 1, Seq: 3}) },
			partly: []string{"partition 0: it has lost events of 1 cells and gone on without them, among these: sku 1 has two events at epoch 1 seq 3."},
			stop:   []int{0}, sell: []int{1},
		},
		"a key is gone": {
			edit: func(f *findings) { f.partitions[0].counts.outbox = 0 }, partly: []string{"partition 0: it has lost its outbox"}, stop: []int{0}, sell: []int{1},
		},
		"holds came after their keys were counted": {
			edit: func(f *findings) { f.partitions[0].counts.due = 0; f.heldIn[0] = true }, sell: []int{0, 1},
		},
		"holds have no deadline where nobody can reserve": {
			edit:   func(f *findings) { restarted(f); f.partitions[0].counts.due = 0; f.heldIn[0] = true },
			partly: []string{"partition 0: it has lost its deadlines"}, open: []int{1}, stop: []int{0},
		},
		"its cells are gone": {
			edit:   func(f *findings) { f.partitions[0].counts.cells = 0; behind(f, 0) },
			partly: []string{"partition 0: it has lost effects", "partition 0: it has lost its cells"}, stop: []int{0}, sell: []int{1},
		},
		"one partition is being restored": {
			edit: func(f *findings) {
				restarted(f)
				f.partitions[1].mark, f.partitions[1].restoring, f.partitions[1].counts = stock.Mark{}, true, counts{res: 1, due: 1}
				behind(f, 1)
			},
			partly: []string{"partition 1: it has lost effects", "partition 1: it is being restored"}, open: []int{0}, stop: []int{1},
		},
		"all at once": {
			edit: func(f *findings) {
				behind(f, 0)
				f.fork(1, stock.Cell{SKU: 2}, stock.Position{Epoch: 1, Seq: 3})
				f.partitions[1].counts.outbox = 0
			},
			partly: []string{"partition 0: it has lost effects", "partition 1: it has lost its outbox", "partition 1: it has lost events"}, stop: []int{0, 1},
		},
	} {
		f, j := judged(c.edit)
		wantTexts(t, name+", causes", j.causes, c.causes)
		wantTexts(t, name+", objections to partitions", j.partly, c.partly)
		if j.missing != c.missing {
			t.Errorf("%s: missing is %v", name, j.missing)
		}
		var open, stop, sell []int
		for p := range f.partitions {
			if j.opens(f, p) {
				open = append(open, p)
			}
			if j.stops(f, p) {
				stop = append(stop, p)
			}
		}
		for p, m := range j.proven(f) {
			if m.Nonce != 0 {
				sell = append(sell, p)
			}
		}
		if !slices.Equal(open, c.open) || !slices.Equal(stop, c.stop) || !slices.Equal(sell, c.sell) {
			t.Errorf("%s: open %v, stop %v, sell %v; want %v, %v, %v", name, open, stop, sell, c.open, c.stop, c.sell)
		}
	}
}

// wantTexts holds that texts begin as wanted, one by one.
func wantTexts(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestComparison(t *testing.T) {
	t.Parallel()
	c := newComparison()
	at := func(seq uint64) stock.Position { return stock.Position{Epoch: 2, Seq: seq} }
	for sku := range int64(20) { // SKU n lacks n effects
		c.note(0, Behind{Cell: stock.Cell{SKU: sku}, Redis: at(100), Known: at(100 + uint64(sku))}, sku == 3, false)
	}
	c.note(1, Behind{Cell: stock.Cell{SKU: 19}, Redis: at(100), Known: at(150)}, false, false)                             // it is among the worst
	c.note(1, Behind{Cell: stock.Cell{SKU: 19}, Redis: at(100), Known: at(110)}, false, false)                             // no news
	c.note(2, Behind{Cell: stock.Cell{SKU: 30}, Redis: at(100), Known: at(90)}, true, false)                               // Redis is ahead
	c.note(2, Behind{Cell: stock.Cell{SKU: 31}, Redis: at(1), Known: stock.Position{Epoch: 1, Seq: 90}}, false, false)     // in a later epoch
	c.note(3, Behind{Cell: stock.Cell{SKU: 40}, Redis: stock.Position{Epoch: 1, Seq: 999}, Known: at(1099)}, false, false) // in an earlier one
	if c.positions != 25 || c.behind != 20 || len(c.worst) != worstMax {
		t.Errorf("%d positions, %d behind, %d of them named", c.positions, c.behind, len(c.worst))
	}
	if first, second, last := c.worst[0], c.worst[1], c.worst[worstMax-1]; first.Cell.SKU != 40 || second.lost() != 50 || last.lost() != 11 {
		t.Errorf("the worst are %v", c.worst)
	}
	if in, held := sortedKeys(c.behindIn), sortedKeys(c.heldIn); !slices.Equal(in, []int{0, 1, 3}) || !slices.Equal(held, []int{0, 2}) {
		t.Errorf("partitions %v are behind, %v have held units", in, held)
	}
	for sku := range int64(12) {
		c.fork(int(sku%2), stock.Cell{SKU: sku}, at(1))
		c.fork(int(sku%2), stock.Cell{SKU: sku}, at(2))
	}
	if len(c.forked) != 12 || len(c.forks) != worstMax || !slices.Equal(sortedKeys(c.forkedIn), []int{0, 1}) {
		t.Errorf("%d cells have forks in %v, %d are named", len(c.forked), c.forkedIn, len(c.forks))
	}
}

// TestLosses sorts partitions into those that only a restore brings back, and others.
func TestLosses(t *testing.T) {
	t.Parallel()
	cell := stock.Cell{SKU: 1}
	behind := func(f *findings, p int) {
		f.note(p, Behind{Cell: cell, Redis: stock.Position{Epoch: 1, Seq: 4}, Known: stock.Position{Epoch: 1, Seq: 9}}, false, false)
	}
	for name, c := range map[string]struct {
		edit  func(f *findings)
		which []int
		other []string
		new   bool
	}{
		"nothing is wrong": {edit: func(*findings) {}},
		"a new deployment": {edit: func(f *findings) { *f = newFindings(OpenConfig{Partitions: 2}) }, which: []int{0, 1}, new: true},
		"it holds nothing": {edit: func(f *findings) { f.partitions[1] = partitionFindings{} }, which: []int{1}},
		"it holds nothing but whose it is": {
			edit: func(f *findings) { f.partitions[1].stored, f.partitions[1].counts = false, counts{}; behind(f, 1) }, which: []int{1},
		},
		"it has no stock": {edit: func(f *findings) { f.partitions[1].stored, f.partitions[1].counts = false, counts{} }},
		"a key is gone":   {edit: func(f *findings) { f.partitions[0].counts.res = 0 }, which: []int{0}},
		"cells are gone":  {edit: func(f *findings) { f.partitions[0].counts.cells = 0; behind(f, 0) }, which: []int{0}},
		"it was begun":    {edit: func(f *findings) { f.partitions[0].restoring = true; behind(f, 0) }, which: []int{0}},
		"it is behind":    {edit: func(f *findings) { behind(f, 0) }, other: []string{"partition 0: it has lost effects of some cells"}},
		"it has a fork": {
			edit: func(f *findings) { f.fork(1, cell, stock.Position{Epoch: 1, Seq: 3}) }, other: []string{"partition 1: forks"},
		},
	} {
		f, j := judged(c.edit)
		l := losses(f, &j)
		if got := l.Partitions(2); !slices.Equal(got, c.which) || l.New != c.new {
			t.Errorf("%s: partitions %v to restore, new %v; want %v, %v", name, got, l.New, c.which, c.new)
		}
		wantTexts(t, name, l.Other, c.other)
	}
}

// TestValuesAreWrittenAsTheyAreRead compares the values that a restore writes with those that scripts write. Readers
// know the latter.
func TestValuesAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	cell := stock.Cell{SKU: 1 << 40, Pool: 7, Bucket: 3}
	for _, extend := range []time.Duration{0, time.Hour} {
		want := stock.CellState{
			Cell: cell, Position: stock.Position{Epoch: 2, Seq: 1 << 40}, Balances: stock.Balances{Avail: 1 << 35, Held: 2, Sold: 3, Total: 1<<35 + 5},
			Settings: stock.Settings{Limit: 9, OpensAtMS: 5, ClosesAtMS: 6, Hold: time.Minute, ExtendMax: extend, Ack: stock.AckLog, Frozen: true},
			Loaded:   true, Fenced: true,
		}
		if got, err := cellFrom(cell, string(appendCell(nil, &want))); err != nil || got != want {
			t.Errorf("%+v (%v), want %+v", got, err, want)
		}
	}
	want := stock.Reservation{
		ID: stock.ReservationID{1}, State: stock.StateConfirmed, Counted: true, Cell: cell, User: 1 << 60, Quantity: 1_000_000,
		Fingerprint: 1 << 31, Seq: 1 << 40, DeadlineMS: 1 << 41,
	}
	extended := want
	extended.State, extended.ExtendedMS = stock.StateHeld, 1<<31
	for _, want := range []stock.Reservation{want, extended} {
		if got, err := recordFrom(want.ID, string(recordOf(&want))); err != nil || got != want {
			t.Errorf("%+v (%v), want %+v", got, err, want)
		}
	}
}
