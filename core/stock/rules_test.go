package stock

import (
	"testing"
	"time"
)

// TestTake breaks one thing after the other, the last refusal first: each new fault must win over all
// those before it.
func TestTake(t *testing.T) {
	t.Parallel()
	cell := CellState{
		Loaded: true, Position: Position{Epoch: 2, Seq: 5},
		Balances: Balances{Avail: 3, Held: 1, Sold: 1, Total: 5}, Settings: Settings{OpensAtMS: 100, ClosesAtMS: 200},
	}
	taking := Taking{Quantity: 3, Fence: cell.Position, NowMS: 100}
	f := func(name string, want Verdict) {
		t.Helper()
		if got := cell.Take(taking); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("the last units at the first moment", VerdictOK)
	taking.NowMS = 199
	f("at the last moment", VerdictOK)
	taking.Quantity = 4
	f("one too many", VerdictSoldOut)
	cell.Limit, taking.Owned = 5, 1
	f("within the limit", VerdictSoldOut)
	taking.Owned = 2
	f("over the limit", VerdictLimitReached)
	taking.NoReplica = true
	f("without a replica, at another level", VerdictLimitReached)
	taking.Default = AckReplica
	f("without a replica, by default", VerdictReplicaMissing)
	cell.Ack = AckRedis
	f("without a replica, at another level of its own", VerdictLimitReached)
	cell.Ack, taking.Default = AckReplica, AckRedis
	f("without a replica, at its own level", VerdictReplicaMissing)
	cell.Ack, taking.Default, cell.RegisteredOnly, taking.Whole = AckRedis, AckRedis, true, false
	f("perhaps not registered", VerdictUsersMissing)
	taking.Registered = true
	f("registered", VerdictLimitReached)
	taking.Registered, cell.Ack = false, AckReplica
	f("perhaps not registered, and without a replica", VerdictReplicaMissing)
	taking.OutboxFull = true
	f("full outbox", VerdictBackpressure)
	taking.NowMS = 200
	f("closed", VerdictClosed)
	taking.NowMS = 99
	f("not open", VerdictNotOpen)
	cell.Frozen = true
	f("frozen", VerdictFrozen)
	cell.Frozen, cell.Breached = false, true
	f("breached", VerdictBreached)
	cell.Breached, cell.Avail = false, 4
	f("does not add up", VerdictBreached)
	cell.Fenced = true
	f("fenced", VerdictFenced)
	cell.Fenced, taking.Fence.Seq = false, 6
	f("seq ahead", VerdictFenced)
	taking.Fence = Position{Epoch: 3}
	f("epoch ahead", VerdictFenced)
	taking.Whole = true
	f("certainly not registered", VerdictNotRegistered)
	cell.Loaded = false
	f("seen, but gone", VerdictFenced)
	taking.Fence = Position{}
	f("never seen", VerdictNotLoaded)
}

func TestSettle(t *testing.T) {
	t.Parallel()
	f := func(s State, wanted State, user, nowMS int64, want Verdict) {
		t.Helper()
		r := Reservation{State: s, User: 5, DeadlineMS: 100}
		if got := r.Settle(wanted, user, nowMS); got != want {
			t.Errorf("%v to %v by %d at %d: %v, want %v", s, wanted, user, nowMS, got, want)
		}
	}
	f(StateNone, StateConfirmed, 5, 0, VerdictUnknownReservation)
	f(StateHeld, StateConfirmed, 6, 0, VerdictWrongUser)
	f(StateConfirmed, StateConfirmed, 6, 0, VerdictWrongUser)
	f(StateHeld, StateConfirmed, 5, 99, VerdictOK)
	f(StateHeld, StateReleased, 0, 99, VerdictOK)
	f(StateHeld, StateReleased, 5, 100, VerdictWrongState)
	f(StateExpired, StateReleased, 5, 0, VerdictWrongState)
	f(StateAdjusted, StateReleased, 0, 0, VerdictWrongState)
	f(StateConfirmed, StateReleased, 0, 0, VerdictWrongState)
	f(StateReleased, StateConfirmed, 0, 0, VerdictWrongState)
	f(StateReleased, StateReleased, 0, 1000, VerdictReplayed)
	f(StateConfirmed, StateConfirmed, 5, 1000, VerdictReplayed)
}

func TestSettleInCell(t *testing.T) {
	t.Parallel()
	cell := CellState{Loaded: true, Balances: Balances{Avail: 3, Held: 2, Sold: 1, Total: 6}}
	f := func(name string, held int64, want Verdict) {
		t.Helper()
		if got := cell.Settle(held); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("all that is held", 2, VerdictOK)
	f("more than is held", 3, VerdictBreached)
	cell.Frozen = true
	f("selling was stopped", 2, VerdictOK)
	cell.Avail--
	f("does not add up", 1, VerdictBreached)
	cell.Fenced = true
	f("fenced", 3, VerdictFenced)
	cell = CellState{}
	f("not there", 1, VerdictFenced)
}

func TestRepeat(t *testing.T) {
	t.Parallel()
	f := func(s State, fingerprint uint32, want Verdict) {
		t.Helper()
		if got := (Reservation{State: s, Fingerprint: 7}).Repeat(fingerprint); got != want {
			t.Errorf("%v: %v, want %v", s, got, want)
		}
	}
	f(StateNone, 7, VerdictOK)
	for s := StateHeld; s <= StateAdjusted; s++ {
		f(s, 7, VerdictReplayed)
		f(s, 8, VerdictMismatch)
	}
}

func TestAdjust(t *testing.T) {
	t.Parallel()
	loaded := CellState{Loaded: true, Balances: Balances{Avail: 3, Total: 3}}
	fenced, breached, frozen := loaded, loaded, loaded
	fenced.Fenced, breached.Breached, frozen.Frozen = true, true, true
	f := func(name string, c CellState, a Adjustment, want Verdict) {
		t.Helper()
		if got := c.Adjust(&a); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("create", CellState{}, Adjustment{Create: true, Delta: 1}, VerdictOK)
	f("create again", loaded, Adjustment{Create: true}, VerdictWrongState)
	f("create again, fenced", fenced, Adjustment{Create: true}, VerdictWrongState)
	f("not there", CellState{}, Adjustment{Delta: 1}, VerdictNotLoaded)
	f("all that is avail", loaded, Adjustment{Delta: -3}, VerdictOK)
	f("more than is avail", loaded, Adjustment{Delta: -4}, VerdictSoldOut)
	f("fenced", fenced, Adjustment{Delta: -4}, VerdictFenced)
	f("breached", breached, Adjustment{Delta: 1}, VerdictBreached)
	f("frozen by an admin", frozen, Adjustment{Delta: 1}, VerdictOK)
}

func TestSettingsWith(t *testing.T) {
	t.Parallel()
	all := Settings{
		Limit: 1, OpensAtMS: 2, ClosesAtMS: 3, Hold: 4 * time.Second, Ack: AckLog, ShopperDeducts: true, Frozen: true,
		ExtendMax: 5 * time.Second,
	}
	if got := (Settings{}).With(0, all); got != (Settings{}) {
		t.Errorf("nothing taken: %+v", got)
	}
	var got Settings
	for field := FieldLimit; field != 0; field <<= 1 {
		next := got.With(field, all)
		if next == got {
			t.Errorf("field %b changes nothing", field)
		}
		got = next
	}
	if got != all {
		t.Errorf("all taken one by one: %+v", got)
	}
}

func TestSettingsWithDefaults(t *testing.T) {
	t.Parallel()
	f := func(s, want Settings) {
		t.Helper()
		if got := s.WithDefaults(); got != want {
			t.Errorf("%+v: %+v, want %+v", s, got, want)
		}
	}
	f(Settings{}, Settings{Hold: HoldDefault})
	f(Settings{Limit: 2, Frozen: true}, Settings{Limit: 2, Frozen: true, Hold: HoldDefault})
	f(Settings{Limit: 2, Hold: time.Second}, Settings{Limit: 2, Hold: time.Second})
}

func TestMarkLess(t *testing.T) {
	t.Parallel()
	f := func(a, b Position, want bool) {
		t.Helper()
		if got := a.Less(b); got != want {
			t.Errorf("%+v before %+v: %v", a, b, got)
		}
	}
	f(Position{1, 5}, Position{1, 6}, true)
	f(Position{1, 6}, Position{1, 6}, false)
	f(Position{1, 9}, Position{2, 1}, true)
	f(Position{2, 1}, Position{1, 9}, false)
}

// TestWordsNeverChange lists codes with their words: both are stored and sent.
func TestWordsNeverChange(t *testing.T) {
	t.Parallel()
	words := []string{
		"ok", "replayed", "sold_out", "limit_reached", "not_loaded", "not_open", "closed", "frozen", "fenced",
		"mismatch", "unknown_reservation", "wrong_state", "wrong_user", "backpressure",
		"breached", "not_registered", "replica_missing", "refused", "users_missing",
	}
	for code, word := range words {
		if got := Verdict(code).String(); got != word {
			t.Errorf("verdict %d is %q, want %q", code, got, word)
		}
	}
	if Verdicts != len(words) || Verdict(Verdicts).String() != "verdict(19)" {
		t.Errorf("%d verdicts, the next is %v", Verdicts, Verdict(Verdicts))
	}
	for code, word := range []string{"none", "held", "confirmed", "released", "expired", "adjusted", "revoked", "returned", "state(8)"} {
		if got := State(code).String(); got != word {
			t.Errorf("state %d is %q, want %q", code, got, word)
		}
	}
	for op, word := range map[Op]string{1: "reserve", 2: "confirm", 3: "release", 5: "deduct", 6: "adjust", 4: "op(4)", 13: "gather", 14: "decide", 15: "void"} {
		if got := op.String(); got != word {
			t.Errorf("operation %d is %q, want %q", op, got, word)
		}
	}
	for _, ack := range []Ack{AckDefault, AckRedis, AckReplica, AckLog} {
		if got, err := ParseAck(ack.String()); err != nil || got != ack {
			t.Errorf("%v is read as %v, error %v", ack, got, err)
		}
	}
	if _, err := ParseAck("Redis"); err == nil {
		t.Error("Redis is no acknowledge level")
	}
}
