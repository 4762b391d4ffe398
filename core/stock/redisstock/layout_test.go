package redisstock_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// scores reads a sorted set.
func (s *shop) scores(key string) map[string]int64 {
	s.Helper()
	all, err := s.run("ZRANGE", key, "0", "-1", "WITHSCORES").AsZScores()
	if err != nil {
		s.Fatal(err)
	}
	scores := map[string]int64{}
	for _, z := range all {
		scores[z.Member] = int64(z.Score)
	}
	return scores
}

func ids(requests []stock.Request) (packed string) {
	for i := range requests {
		packed += string(requests[i].ID[:])
	}
	return packed
}

// TestDueAndGone looks at the two sorted sets: reservations of one vector, pool and deadline share a
// member of due, and what has ended is in gone until its retention is over.
func TestDueAndGone(t *testing.T) {
	t.Parallel()
	const retention = 90 * time.Minute
	s := newShop(t, onServer(t), redisstock.Config{Retention: retention})
	cells := []stock.Cell{{SKU: 7}} // of one partition: two pools, two hold times in the first
	for sku := int64(8); len(cells) < 3; sku++ {
		if cell := (stock.Cell{SKU: sku, Pool: uint32(len(cells) / 2)}); partition(cell) == partition(cells[0]) {
			cells = append(cells, cell)
		}
	}
	gone := map[string]int64{}
	ended := func(v *stock.Vector) {
		t.Helper()
		if v.Err != nil {
			t.Fatal(v.Err)
		}
		gone[ids(v.Requests)] = v.TimeMS + retention.Milliseconds()
	}
	for i, hold := range []time.Duration{time.Minute, time.Hour, time.Hour} {
		ended(s.do(stock.OpAdjust, creation(cells[i], 100, stock.Settings{Hold: hold})))
	}

	var requests []stock.Request
	for user := range int64(6) {
		requests = append(requests, take(stock.OpReserve, cells[user%3], 1+user, 1))
	}
	v := s.do(stock.OpReserve, requests...)
	if v.Err != nil {
		t.Fatal(v.Err)
	}
	due := map[string]int64{}
	for i, hold := range []time.Duration{time.Minute, time.Hour, time.Hour} {
		member := "\x00\x00\x00" + string(rune(cells[i].Pool)) + ids([]stock.Request{requests[i], requests[i+3]})
		due[member] = v.TimeMS + hold.Milliseconds()
	}
	p := partition(cells[0])
	if diff := cmp.Diff(due, s.scores(redisstock.DueKey(p))); diff != "" {
		t.Errorf("due (-want +got):\n%s", diff)
	}

	ended(s.do(stock.OpDeduct, take(stock.OpDeduct, cells[0], 1, 1), take(stock.OpDeduct, cells[0], 2, 1)))
	ended(s.do(stock.OpConfirm, stock.Request{ID: requests[0].ID}, stock.Request{ID: requests[1].ID}))
	ended(s.do(stock.OpRelease, stock.Request{ID: requests[2].ID, Cell: cells[2]}))
	if diff := cmp.Diff(gone, s.scores(redisstock.GoneKey(p))); diff != "" {
		t.Errorf("gone (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(due, s.scores(redisstock.DueKey(p))); diff != "" {
		t.Errorf("due has changed (-before +after):\n%s", diff)
	}
}

// TestExtendedIsDue looks at due and at the record of what was extended: the extended ones of one vector and deadline share
// a member, the old one stays until its time, and a record is longer only while it is held.
func TestExtendedIsDue(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := s.load(10, stock.Settings{ExtendMax: time.Hour})
	p, key := partition(cell), redisstock.ResKey(partition(cell))
	requests := []stock.Request{take(stock.OpReserve, cell, 1, 1), take(stock.OpReserve, cell, 2, 1), take(stock.OpReserve, cell, 3, 1)}
	v := s.do(stock.OpReserve, requests...)
	if v.Err != nil {
		t.Fatal(v.Err)
	}
	due := map[string]int64{"\x00\x00\x00\x00" + ids(requests): v.Outcomes[0].Reservation.DeadlineMS}
	wanted := v.Outcomes[0].Reservation.DeadlineMS + 5000
	more := slices.Clone(requests[:2])
	for i := range more {
		more[i].DeadlineMS = wanted
	}
	if v = s.do(stock.OpExtend, more...); v.Err != nil {
		t.Fatal(v.Err)
	}
	due["\x00\x00\x00\x00"+ids(more)] = wanted
	if diff := cmp.Diff(due, s.scores(redisstock.DueKey(p))); diff != "" {
		t.Errorf("due (-want +got):\n%s", diff)
	}
	length := func(id stock.ReservationID) int {
		record, err := s.run("HGET", key, string(id[:])).ToString()
		if err != nil {
			t.Fatal(err)
		}
		return len(record)
	}
	s.one(stock.OpConfirm, stock.Request{ID: requests[1].ID})
	for i, want := range []int{47, 43, 43} { // extended, extended and confirmed, as it was
		if got := length(requests[i].ID); got != want {
			t.Errorf("record %d has %d bytes, want %d", i, got, want)
		}
	}
	found, _, err := s.Reservations(t.Context(), []stock.ReservationID{requests[0].ID})
	if err != nil || found[0].DeadlineMS != wanted || found[0].ExtendedMS != 5000 {
		t.Errorf("record %+v (%v), want it extended by 5 s", found, err)
	}
}

// TestShutCellDoesNotHoldUpOthers has more due reservations of a fenced cell than a sweep may look at:
// they are put off, and those of other cells have their turn.
func TestShutCellDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	shut, sound := stock.Cell{SKU: 1}, stock.Cell{SKU: 2}
	for partition(sound) != partition(shut) {
		sound.SKU++
	}
	var lastMS int64
	for _, cell := range []stock.Cell{shut, sound} {
		if v := s.do(stock.OpAdjust, creation(cell, 100, stock.Settings{Hold: time.Millisecond})); v.Err != nil {
			t.Fatal(v.Err)
		}
		for user := range int64(20) {
			lastMS = s.reserve(cell, 1+user, 1).DeadlineMS
		}
	}
	edit(t, s.client, shut, func(value []byte) { value[flagsAt] |= 2 })
	s.waitUntil(lastMS)

	expired := 0
	for range 4 {
		sweep, err := s.Expire(t.Context(), partition(shut), 10)
		if err != nil {
			t.Fatal(err)
		}
		expired += sweep.Expired
	}
	if expired != 20 {
		t.Errorf("four sweeps of 10 have expired %d, want the 20 of the sound cell", expired)
	}
	for cell, want := range map[stock.Cell]stock.Balances{
		shut:  {Avail: 80, Held: 20, Total: 100},
		sound: {Avail: 100, Total: 100},
	} {
		if got := s.state(cell).Balances; got != want {
			t.Errorf("balances of %v are %+v, want %+v", cell, got, want)
		}
	}
	nowMS := s.now()
	waiting := s.scores(redisstock.DueKey(partition(shut)))
	if len(waiting) != 20 {
		t.Errorf("%d members are due, want the 20 of the shut cell", len(waiting))
	}
	for _, atMS := range waiting {
		if atMS < lastMS+1000 || atMS > nowMS+1000 {
			t.Errorf("one is looked at again at %d ms, want a second after a time between %d and %d ms", atMS, lastMS, nowMS)
		}
	}
}

// TestExpireTellsWhatItDidBeforeAnError has a foreign key in the way of the second call of a sweep. The result beside
// the error must have the entries of the first call, or nobody would publish them.
func TestExpireTellsWhatItDidBeforeAnError(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	first, second := stock.Cell{SKU: 1}, stock.Cell{SKU: 2, Pool: 1}
	for partition(second) != partition(first) {
		second.SKU++
	}
	short := stock.Settings{Hold: time.Millisecond, Limit: 1}
	for _, cell := range []stock.Cell{first, second} {
		if v := s.do(stock.OpAdjust, creation(cell, 1000, short)); v.Err != nil {
			t.Fatal(v.Err)
		}
	}
	const reservations = 2 * stock.VectorMax // as many as one call looks at
	for user := int64(1); user < reservations; user += stock.VectorMax {
		var requests []stock.Request
		for i := range int64(stock.VectorMax) {
			requests = append(requests, take(stock.OpReserve, first, user+i, 1))
		}
		if v := s.do(stock.OpReserve, requests...); v.Err != nil {
			t.Fatal(v.Err)
		}
	}
	s.waitUntil(s.reserve(second, 1, 1).DeadlineMS)
	s.must("SET", redisstock.BuyersKey(partition(second), second.Pool), "of another type")

	sweep, err := s.Expire(t.Context(), partition(first), 2*reservations)
	if !errors.Is(err, stock.ErrProtocol) {
		t.Errorf("error is %v, want a protocol error", err)
	}
	if sweep.Expired != reservations || len(sweep.Entries) != 1 {
		t.Errorf("expired %d in %d entries, want %d in 1", sweep.Expired, len(sweep.Entries), reservations)
	}
}

// TestForget counts records, not members of gone, and forgets all of a member.
func TestForget(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{Retention: time.Millisecond})
	cell := s.load(10, stock.Settings{})
	s.waitUntil(s.now() + 1) // so that the creation is forgotten first
	for first := int64(1); first <= 4; first += 3 {
		v := s.do(stock.OpDeduct, take(stock.OpDeduct, cell, first, 1), take(stock.OpDeduct, cell, first+1, 1), take(stock.OpDeduct, cell, first+2, 1))
		if v.Err != nil {
			t.Fatal(v.Err)
		}
	}
	s.waitUntil(s.now() + 2)
	for _, want := range []int{1 + 3, 3, 0} { // the creation and a vector, another vector
		n, err := s.Forget(t.Context(), partition(cell), 2)
		if err != nil || n != want {
			t.Errorf("forgot %d (%v), want %d", n, err, want)
		}
	}
	if left, err := s.run("HLEN", redisstock.ResKey(partition(cell))).AsInt64(); err != nil || left != 0 {
		t.Errorf("%d records are left (%v)", left, err)
	}
}

// TestRedisTime checks that times are in ms, by Redis' clock.
func TestRedisTime(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	for range 2 { // not both in the first ms of a second
		before := time.Now().UnixMilli()
		_, now, err := s.Cells(t.Context(), []stock.Cell{{SKU: 1}})
		if err != nil || now < before || now > time.Now().UnixMilli() {
			t.Errorf("it is %d ms, but was %d ms before (%v)", now, before, err)
		}
		s.waitUntil(before + 2)
	}
}

// TestUnreadableRecord has a record of another version among others of its vector and member.
func TestUnreadableRecord(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := s.load(10, stock.Settings{})
	requests := []stock.Request{take(stock.OpReserve, cell, 1, 1), take(stock.OpReserve, cell, 2, 1)}
	v := s.do(stock.OpReserve, requests...)
	if v.Err != nil {
		t.Fatal(v.Err)
	}
	overdue(s, v.Outcomes[1].Reservation)
	key, field := redisstock.ResKey(partition(cell)), string(requests[0].ID[:])
	record, err := s.run("HGET", key, field).ToString()
	if err != nil {
		t.Fatal(err)
	}
	for _, unreadable := range []string{record + "and more", "\x02" + record[1:]} { // its length, its version
		s.must("HSET", key, field, unreadable)
		for op, want := range map[stock.Op][]stock.Verdict{
			stock.OpReserve: {stock.VerdictMismatch, stock.VerdictReplayed},
			stock.OpConfirm: {stock.VerdictUnknownReservation, stock.VerdictWrongState},
		} {
			v := s.do(op, requests...)
			if v.Err != nil || v.Outcomes[0].Verdict != want[0] || v.Outcomes[1].Verdict != want[1] {
				t.Errorf("%x, %v: outcomes %v (%v), want %v", unreadable, op, v.Outcomes, v.Err, want)
			}
		}
	}
	if sweep, err := s.Expire(t.Context(), partition(cell), 10); err != nil || sweep.Expired != 1 {
		t.Errorf("expired %d (%v), want the other one", sweep.Expired, err)
	}
	if len(s.scores(redisstock.DueKey(partition(cell)))) != 1 {
		t.Error("the unreadable one is no longer due")
	}
	if _, _, err := s.Reservations(t.Context(), []stock.ReservationID{requests[0].ID}); !errors.Is(err, stock.ErrProtocol) {
		t.Errorf("error is %v, want a protocol error", err)
	}
}

// TestExpireMeetsOneReservationTwice has a reservation in two due members of one sweep: it was
// forgotten and made again under its old id, in other company.
func TestExpireMeetsOneReservationTwice(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := s.load(10, stock.Settings{Limit: 5})
	held := s.reserve(cell, 1, 3)
	old := "\x00\x00\x00\x00" + string(held.ID[:]) + "a forgotten one."
	s.must("ZADD", redisstock.DueKey(partition(cell)), "1", old)
	overdue(s, held)

	if sweep, err := s.Expire(t.Context(), partition(cell), 10); err != nil || sweep.Expired != 1 {
		t.Errorf("expired %d (%v), want 1", sweep.Expired, err)
	}
	state := s.state(cell)
	if want := (stock.Balances{Avail: 10, Total: 10}); state.Balances != want || state.Breached {
		t.Errorf("cell is %+v, want %+v and no breach", state, want)
	}
	if got := s.scores(redisstock.DueKey(partition(cell))); len(got) != 0 {
		t.Errorf("%d members are still due", len(got))
	}
}

// TestExpireComesTooEarly calls expire.lua with members whose reservations are held and not due: Redis'
// clock was set back after due.lua, or they were forgotten and made again since. Nothing else knows
// their deadlines, so the members must stay.
func TestExpireComesTooEarly(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{Retention: time.Millisecond})
	cell := s.load(10, stock.Settings{Limit: 5})
	key := redisstock.DueKey(partition(cell))
	member := func(held ...stock.Reservation) string {
		packed := "\x00\x00\x00\x00"
		for _, r := range held {
			packed += string(r.ID[:])
		}
		return packed
	}
	early := func(members ...string) {
		t.Helper()
		sweep, err := s.ExpireMembers(t.Context(), partition(cell), members...)
		if err != nil || sweep.Expired != 0 {
			t.Errorf("expired %d (%v), want nothing", sweep.Expired, err)
		}
	}
	want := func(due map[string]int64) {
		t.Helper()
		if diff := cmp.Diff(due, s.scores(key)); diff != "" {
			t.Errorf("due (-want +got):\n%s", diff)
		}
	}

	a := s.reserve(cell, 1, 1)
	early(member(a))
	want(map[string]int64{member(a): a.DeadlineMS})

	if got := s.one(stock.OpRelease, stock.Request{ID: a.ID, Cell: cell}).Verdict; got != stock.VerdictOK {
		t.Fatalf("release: %v", got)
	}
	for s.one(stock.OpConfirm, stock.Request{ID: a.ID}).Verdict != stock.VerdictUnknownReservation {
		if _, err := s.Forget(t.Context(), partition(cell), 10); err != nil {
			t.Fatal(err)
		}
	}
	longer := stock.Adjustment{Fields: stock.FieldHold, Settings: stock.Settings{Hold: 2 * time.Hour}}
	if got := s.one(stock.OpAdjust, adjustment(cell, "longer", longer)).Verdict; got != stock.VerdictOK {
		t.Fatalf("adjust: %v", got)
	}
	again := s.reserve(cell, 1, 1)
	early(member(a))
	want(map[string]int64{member(a): again.DeadlineMS})

	// An old member of two that were made again, each on its own, has the deadline of the first.
	shorter := stock.Adjustment{Fields: stock.FieldHold, Settings: stock.Settings{Hold: time.Hour}}
	if got := s.one(stock.OpAdjust, adjustment(cell, "shorter", shorter)).Verdict; got != stock.VerdictOK {
		t.Fatalf("adjust: %v", got)
	}
	b := s.reserve(cell, 2, 1)
	early(member(again, b), member(b, again))
	want(map[string]int64{
		member(again): again.DeadlineMS, member(b): b.DeadlineMS,
		member(again, b): b.DeadlineMS, member(b, again): b.DeadlineMS,
	})

	overdue(s, again)
	overdue(s, b)
	if sweep, err := s.Expire(t.Context(), partition(cell), 10); err != nil || sweep.Expired != 2 {
		t.Errorf("expired %d (%v), want 2", sweep.Expired, err)
	}
	want(map[string]int64{})
}

// TestUnreadableBasket has a record of a basket in another form. Neither the record nor its lines change.
func TestUnreadableBasket(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := s.load(10, stock.Settings{})
	s.refuse(cell)
	id := s.refusing.ID
	key, field := redisstock.BasketsKey(id.Partition()), string(id[:])
	record, err := s.run("HGET", key, field).ToString()
	if err != nil {
		t.Fatal(err)
	}
	for _, unreadable := range []string{record + "and more", "\x02" + record[1:]} {
		s.must("HSET", key, field, unreadable)
		before := s.dump(id.Partition())
		for _, op := range []stock.Op{stock.OpGather, stock.OpDecide, stock.OpVoid} {
			if got := s.one(op, s.refusing); got.Verdict != stock.VerdictMismatch || got.Basket.State != stock.BasketNone {
				t.Errorf("%x, %v: %+v", unreadable, op, got)
			}
		}
		if diff := cmp.Diff(before, s.dump(id.Partition())); diff != "" {
			t.Errorf("it changed something (-before +after):\n%s", diff)
		}
		if _, err := s.Baskets(t.Context(), []stock.ReservationID{id}); !errors.Is(err, stock.ErrProtocol) {
			t.Errorf("read it: error %v", err)
		}
	}
}
