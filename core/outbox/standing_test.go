package outbox

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestStep finds each cause, alone and with others.
func TestStep(t *testing.T) {
	t.Parallel()
	const again = 30 * time.Second
	now := time.UnixMilli(1_700_000_000_000)
	found := map[cause]bool{nothingOld: true} // which is for see
	for name, c := range map[string]struct {
		outlook outlook
		look    look
		want    []cause
	}{
		"beyond the mark":    {outlook{old: "5-0"}, look{first: "3-0", mark: "4-0"}, []cause{beyondMark}},
		"nothing was marked": {outlook{old: "5-0"}, look{first: "3-0"}, []cause{beyondMark}},
		"within the mark":    {outlook{old: "5-0"}, look{first: "3-0", mark: "5-0"}, []cause{withinMark}},
		"read on, but nobody knows how far": {
			outlook{old: "5-0", first: "3-0", copies: []int64{10}, wait: again}, look{first: "3-0", mark: "5-0"}, []cause{withinMark},
		},
		"not read so far":     {outlook{old: "5-0", first: "3-0", copies: []int64{10}, wait: again}, look{first: "3-0", mark: "5-0", kept: []Range{{9, 20}}}, []cause{withinMark}},
		"read past":           {outlook{old: "5-0", first: "3-0", copies: []int64{10}, wait: again}, look{first: "3-0", mark: "5-0", kept: []Range{{10, 20}}}, []cause{readPast}},
		"another is first":    {outlook{old: "5-0", first: "2-0", copies: []int64{10}, read: now.Add(-time.Hour), wait: again}, look{first: "3-0", mark: "5-0", kept: []Range{{10, 20}}}, []cause{withinMark}},
		"read past, not long": {outlook{old: "5-0", first: "3-0", copies: []int64{10}, read: now.Add(1 - again), wait: again}, look{first: "3-0", mark: "5-0", kept: []Range{{10, 20}}}, []cause{readPast}},
		"read past long ago":  {outlook{old: "5-0", first: "3-0", copies: []int64{10}, read: now.Add(-again), wait: again}, look{first: "3-0", mark: "5-0", kept: []Range{{10, 20}}}, []cause{longPast}},
		"read past long ago, and more is owed": {
			outlook{old: "7-0", first: "3-0", copies: []int64{10}, read: now.Add(-again), wait: again}, look{first: "3-0", mark: "5-0", kept: []Range{{10, 20}}}, []cause{longPast},
		},
		"it waits longer after each time": {
			outlook{old: "5-0", first: "3-0", copies: []int64{10}, read: now.Add(-again), wait: 2 * again}, look{first: "3-0", mark: "5-0", kept: []Range{{10, 20}}}, []cause{readPast},
		},
		"kafka ends before what it had": {outlook{old: "5-0", first: "3-0", copies: []int64{10}, wait: again}, look{first: "3-0", mark: "5-0", kept: []Range{{4, 4}}}, []cause{readPast}},
		"reset by another":              {outlook{old: "5-0", resets: 1}, look{first: "3-0", resets: 2}, []cause{resetByOther, beyondMark}},
		"reset, and relayed by another": {outlook{old: "5-0", resets: 1}, look{first: "3-0", mark: "5-0", resets: 2}, []cause{resetByOther, withinMark}},
		"a loss":                        {outlook{old: "5-0"}, look{first: "3-0", mark: "5-0", losses: 1}, []cause{lossFound, beyondMark}},
		"a loss that both found":        {outlook{old: "5-0"}, look{first: "3-0", resets: 1, losses: 1}, []cause{resetByOther, lossFound, beyondMark}},
		"a loss of what had been read past": {
			outlook{old: "5-0", first: "3-0", copies: []int64{10}, read: now.Add(-again), wait: again}, look{first: "3-0", mark: "5-0", losses: 1, kept: []Range{{10, 20}}}, []cause{lossFound, beyondMark},
		},
	} {
		c.look.now = now
		got := c.outlook.step(c.look, again)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		for _, cause := range got {
			found[cause] = true
		}
	}
	if len(found) != len(moves) {
		t.Errorf("%d of %d causes are found: %v", len(found), len(moves), found)
	}
}

// TestMoves makes every move, and looks at what it does: to the mark, to what is remembered, to Kafka.
func TestMoves(t *testing.T) {
	t.Parallel()
	stands := map[standing]bool{}
	for c, m := range moves {
		for _, leased := range []bool{false, true} { // to somebody else
			w := newWorld(1)
			w.redis.add(2)
			last := w.redis.entries[1].ID
			w.redis.mark = w.redis.entries[0].ID
			if m.to != owed {
				w.redis.mark = last
			}
			before := w.redis.mark
			w.pubs[0].delivered[w.redis.entries[0].ID] = true
			if leased {
				w.redis.leaseOwner, w.redis.leaseEnds = "another", w.redis.now.Add(time.Minute)
			}
			r := w.relays[0]
			r.outlooks[0].old = last
			r.outlooks[0].wait = time.Second
			if err := r.move(t.Context(), 0, c, look{losses: 7}); err != nil {
				t.Fatal(err)
			}
			works := !m.publish || !leased
			want := struct {
				mark      string
				forgotten bool
				first     int // publications of the entry that this process had delivered
				second    int
			}{mark: before}
			if works {
				want.forgotten = m.forget
				if m.reset {
					want.mark = ""
				}
				if m.publish {
					want.mark, want.second = last, 1
					if m.reset && m.forget {
						want.first = 1
					}
				}
			}
			got := want
			got.mark, got.first, got.second = w.redis.mark, w.kafka.published[w.redis.entries[0].ID], w.kafka.published[last]
			if want.first == 0 {
				got.forgotten = !w.pubs[0].delivered[w.redis.entries[0].ID]
			}
			if got != want {
				t.Errorf("cause %d, leased %v: %+v, want %+v", c, leased, got, want)
			}
			if stand := standing(r.stands[0].Load()); stand != m.to || r.count(m.to) != 1 {
				t.Errorf("cause %d: the outbox stands at %d, want %d", c, stand, m.to)
			}
			if losses := r.outlooks[0].losses; (losses == 7) != (c == lossFound || c == nothingOld) {
				t.Errorf("cause %d: %d losses are made good", c, losses)
			}
			if wait := r.outlooks[0].wait; (wait == 2*time.Second) != (c == longPast && works) {
				t.Errorf("cause %d, leased %v: waits for %v", c, leased, wait)
			}
			stands[m.to] = true
		}
	}
	if len(stands) != len(standings) {
		t.Errorf("moves lead to %d of %d standings", len(stands), len(standings))
	}
}

// TestMade checks that each move of the table makes its own changes in the outlook, and no others.
func TestMade(t *testing.T) {
	t.Parallel()
	read := time.UnixMilli(1_700_000_000_000)
	for c, m := range moves {
		before := outlook{old: "5-0", first: "3-0", copies: []int64{10}, read: read, wait: time.Minute, losses: 1, resets: 3}
		want := before
		if c == lossFound || c == longPast {
			want.resets, want.copies, want.read = 4, nil, time.Time{}
		}
		if c == lossFound || c == nothingOld {
			want.losses = 7
		}
		if c == longPast {
			want.wait = 2 * time.Minute
		}
		got := before
		got.made(m, 7, 4)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(outlook{}, sighting{})); diff != "" {
			t.Errorf("cause %d:\n%s", c, diff)
		}
	}
	w := outlook{wait: againMax}
	if w.made(moves[longPast], 0, 1); w.wait != againMax {
		t.Errorf("waits for %v, want no more than %v", w.wait, againMax)
	}
}

// TestLossIsMadeGoodInTheEnd fails to reset the mark at first.
func TestLossIsMadeGoodInTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.redis.add(1)
	w.pass(t, 10*time.Second)
	w.pubs[0].Lose()
	w.redis.resetFails = errors.New("away")
	if err := w.tryPass(t, time.Second); err == nil {
		t.Fatal("the mark was reset though Redis is away")
	}
	w.redis.resetFails = nil
	w.pass(t, time.Second)
	if times := w.kafka.published[w.redis.entries[0].ID]; times != 2 {
		t.Errorf("what Kafka lost was published %d times", times)
	}
}

// TestSeeTellsOldFromYoung ages entries by the relay's own clock.
func TestSeeTellsOldFromYoung(t *testing.T) {
	t.Parallel()
	w := &outlook{}
	start := time.UnixMilli(1_700_000_000_000)
	var old []bool
	for s := range 8 { // an entry in the first second, and one more in the fourth; the first is deleted in the sixth
		first, last := "1-0", "1-0"
		if s >= 4 {
			last = "2-0"
		}
		if s >= 6 {
			first = "2-0"
		}
		old = append(old, w.see(start.Add(time.Duration(s)*time.Second), 3*time.Second, first, last))
	}
	if want := []bool{false, false, false, true, true, true, false, true}; !slices.Equal(old, want) {
		t.Errorf("something is old: %v, want %v", old, want)
	}
	if w.see(start.Add(time.Hour), 3*time.Second, "", "2-0") {
		t.Error("an empty outbox has something old")
	}
}
