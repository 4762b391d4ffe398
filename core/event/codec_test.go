package event

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
)

// goldens are batches whose bytes are in testdata, a file for each kind. They are in stored ledgers and
// in Kafka, so a change of any of them needs a new format version.
func goldens() map[string]Batch {
	base := Event{
		Reservation: stock.ReservationID{0x00, 0x15, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
		User:        1001,
		Quantity:    2,
		Fingerprint: 0xdeadbeef,
		Cell:        stock.Cell{SKU: 1001, Pool: 5},
		Position:    stock.Position{Epoch: 1, Seq: 2},
		Avail:       97,
		Held:        2,
		Sold:        1,
		DeadlineMS:  1_700_000_900_000,
	}
	of := func(k Kind, change func(*Event)) Batch {
		e := base
		e.Kind = k
		change(&e)
		return Batch{Partition: 0x15, TimeMS: 1_700_000_000_000, Events: []Event{e}}
	}
	adjust := func(k Kind, c Change) Batch {
		return of(k, func(e *Event) { e.Quantity, e.DeadlineMS, e.Change = 0, 0, c })
	}
	several := of(KindReserve, func(*Event) {})
	several.Events = append(several.Events, adjust(KindAdjust, Change{Delta: 1, Reason: "restock"}).Events[0],
		of(KindConfirm, func(e *Event) { e.Seq = 3 }).Events[0])
	return map[string]Batch{
		"reserve": of(KindReserve, func(*Event) {}),
		"confirm": of(KindConfirm, func(e *Event) { e.Held, e.Sold = 0, 3 }),
		"release": of(KindRelease, func(e *Event) { e.Avail, e.Held = 99, 0 }),
		"expire":  of(KindExpire, func(e *Event) { e.Avail, e.Held = 99, 0 }),
		"deduct":  of(KindDeduct, func(e *Event) { e.Held, e.Sold, e.DeadlineMS = 0, 3, 0 }),
		"adjust": adjust(KindAdjust, Change{
			Delta:  100,
			Fields: stock.FieldLimit | stock.FieldFrozen,
			Settings: stock.Settings{
				Limit: 3, Hold: stock.HoldDefault, OpensAtMS: 1_700_000_000_000, ClosesAtMS: 1_700_003_600_000,
				Ack: stock.AckLog, ShopperDeducts: true, Frozen: true,
			},
			Reason: "spring sale, 2. Lieferung für Köln",
		}),
		"transfer_out": adjust(KindTransferOut, Change{
			Delta: -40, Settings: stock.Settings{Hold: time.Minute}, Reason: "stock for sale 5",
		}),
		"transfer_in": adjust(KindTransferIn, Change{
			Delta: 40, Settings: stock.Settings{Hold: time.Minute, Ack: stock.AckReplica}, Reason: "stock for sale 5",
		}),
		"largest": of(KindReserve, func(e *Event) {
			e.User, e.Quantity, e.Fingerprint = math.MaxInt64, 1<<24-1, math.MaxUint32
			e.Cell = stock.Cell{SKU: math.MaxInt64, Pool: math.MaxUint32, Bucket: math.MaxUint16}
			e.Position = stock.Position{Epoch: math.MaxUint32, Seq: stock.SeqMax}
			e.Avail, e.Held, e.Sold, e.DeadlineMS = stock.UnitsMax, stock.UnitsMax, stock.UnitsMax, stock.TimeMaxMS
		}),
		"several": several,
		"rebase": of(KindRebase, func(e *Event) {
			e.User, e.Quantity, e.DeadlineMS, e.Position = 0, 0, 0, stock.Position{Epoch: 2, Seq: 1_000_001}
			e.Change = Change{
				From:   stock.Position{Epoch: 1, Seq: 1_000_000},
				Fields: ^stock.Fields(0),
				Settings: stock.Settings{
					Limit: 3, Hold: stock.HoldDefault, OpensAtMS: 1_700_000_000_000, ClosesAtMS: 1_700_003_600_000,
					Ack: stock.AckLog, ShopperDeducts: true, ExtendMax: time.Hour,
				},
				Reason: "Redis lost its last second",
			}
		}),
		"revoke": of(KindRevoke, func(e *Event) { e.Avail, e.Held = 99, 0 }),
		"return": of(KindReturn, func(e *Event) {
			e.Avail, e.Sold, e.DeadlineMS, e.Change.Reason = 99, 1, 0, "too small, refund 7"
		}),
		"extend": of(KindExtend, func(e *Event) { e.DeadlineMS = 1_700_001_800_000 }),
		"adjust_extend": adjust(KindAdjust, Change{
			Fields: stock.FieldExtendMax, Settings: stock.Settings{Hold: time.Minute, ExtendMax: 10 * time.Minute},
			Reason: "holds may be extended",
		}),
		"several_of_2": {Partition: 0x15, TimeMS: 1_700_000_000_000, Events: []Event{
			several.Events[0], several.Events[1], of(KindExtend, func(e *Event) { e.Seq = 4 }).Events[0],
		}},
	}
}

// readGolden reads a file of hexadecimal digits with a comment on each line.
func readGolden(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	for line := range strings.Lines(string(text)) {
		digits, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		part, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatalf("%s: %q: %v", name, line, err)
		}
		data = append(data, part...)
	}
	return data
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, batch := range goldens() {
		want := readGolden(t, name)
		if got := Append(nil, batch); !bytes.Equal(got, want) {
			t.Errorf("%s is written as\n%x, want\n%x", name, got, want)
		}
		got, err := Decode(want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(batch, got); diff != "" {
			t.Errorf("%s is read otherwise (-want +got):\n%s", name, diff)
		}
	}
}

func TestEveryKindHasAGolden(t *testing.T) {
	t.Parallel()
	all := goldens()
	for k := KindReserve; k.known(); k++ {
		if b, ok := all[k.String()]; !ok || b.Events[0].Kind != k {
			t.Errorf("%v has none", k)
		}
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	got := Append([]byte("before"), full())
	if want := append([]byte("before"), Append(nil, full())...); !bytes.Equal(got, want) {
		t.Error("the bytes before the batch changed")
	}
}

func TestDecodeSharesNoMemory(t *testing.T) {
	t.Parallel()
	data := Append(nil, goldens()["adjust"])
	b, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	if diff := cmp.Diff(goldens()["adjust"], b); diff != "" {
		t.Errorf("the batch changed with its bytes:\n%s", diff)
	}
}

// TestDecoderFillsAllOfAnEvent reads into an event that has been used before.
func TestDecoderFillsAllOfAnEvent(t *testing.T) {
	t.Parallel()
	e := goldens()["adjust"].Events[0]
	d, err := NewDecoder(Append(nil, goldens()["reserve"]))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Next(&e); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(goldens()["reserve"].Events[0], e); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if err := d.Next(&e); !errors.Is(err, ErrMalformed) {
		t.Errorf("a second event of one: error %v", err)
	}
}

func TestUnknownVersionIsRefused(t *testing.T) {
	t.Parallel()
	for _, data := range [][]byte{{0}, {3}, {255}, append([]byte{3}, Append(nil, full())[1:]...)} {
		_, err := Decode(data)
		if !errors.Is(err, ErrVersion) || errors.Is(err, ErrMalformed) {
			t.Errorf("version %d: error %v", data[0], err)
		}
	}
}

func TestMalformedIsRefused(t *testing.T) {
	t.Parallel()
	reserve, adjust := Append(nil, goldens()["reserve"]), Append(nil, goldens()["adjust"])
	changed := func(data []byte, at int, b ...byte) []byte {
		data = bytes.Clone(data)
		copy(data[at:], b)
		return data
	}
	f := func(name string, data []byte) {
		t.Helper()
		b, err := Decode(data)
		if !errors.Is(err, ErrMalformed) || errors.Is(err, ErrVersion) {
			t.Errorf("%s: %+v, error %v", name, b, err)
		}
	}
	for _, data := range [][]byte{reserve, adjust, Append(nil, goldens()["several"])} {
		f("empty", data[:0])
		for n := 1; n < len(data); n++ {
			f("cut off", data[:n])
		}
		f("one byte too many", append(bytes.Clone(data), 0))
	}
	const first = headerBytes
	f("no events", changed(reserve, 9, 0, 0))
	f("fewer events", changed(Append(nil, full()), 9, 0, 127))
	f("more events", changed(Append(nil, full()), 9, 0, 129))
	f("far too many events", changed(reserve, 9, 0xff, 0xff))
	f("kind 0", changed(reserve, first, 0))
	f("kind 9 in version 1", changed(reserve, first, 9))
	f("kind 13", changed(Append(nil, goldens()["extend"]), first, 13))
	f("a reserve as an adjust", changed(reserve, first, byte(KindAdjust)))
	f("an adjust as a reserve", changed(adjust, first, byte(KindReserve)))
	f("negative user", changed(reserve, first+17, 0x80))
	f("negative SKU", changed(reserve, first+32, 0x80))
	f("SKU 0", changed(reserve, first+32, 0, 0, 0, 0, 0, 0, 0, 0))
	f("epoch 0", changed(reserve, first+46, 0, 0, 0, 0))
	f("seq 0", changed(reserve, first+50, 0, 0, 0, 0, 0, 0))
	const change = first + Bytes
	changeBytes := lengthBytes + KindAdjust.changeBytes(VersionOldest)
	f("no room for settings", changed(adjust, change, 0, byte(changeBytes-3)))
	f("a reason that ends early", changed(adjust, change, 0, byte(changeBytes-2)))
	f("a reason that is too long", changed(adjust, change, 0, byte(changeBytes-2+stock.ReasonMax+1)))
	for bit := range 8 {
		if flag := byte(1) << bit; flag&^(flagsOfEvents|flagRegisteredOnly) != 0 {
			f("an unknown flag", changed(adjust, change+changeBytes-1, flag))
		}
	}
}

func TestLongestReason(t *testing.T) {
	t.Parallel()
	b := goldens()["adjust"]
	for _, length := range []int{0, stock.ReasonMax} {
		b.Events[0].Change.Reason = strings.Repeat("r", length)
		got, err := Decode(Append(nil, b))
		if err != nil || got.Events[0].Change.Reason != b.Events[0].Change.Reason {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
	b.Events[0].Change.Reason += "r"
	if _, err := Decode(Append(nil, b)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestMostEvents(t *testing.T) {
	t.Parallel()
	b := full()
	for len(b.Events) < EventsMax {
		b.Events = append(b.Events, b.Events...)
	}
	if _, err := Decode(Append(nil, b)); err != nil {
		t.Errorf("%d events: %v", len(b.Events), err)
	}
	b.Events = append(b.Events, b.Events[0])
	if _, err := Decode(Append(nil, b)); !errors.Is(err, ErrMalformed) {
		t.Errorf("%d events: %v", len(b.Events), err)
	}
}

func TestAppendPanicsOnWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	f := func(name string, change func(*Batch, *Event)) {
		t.Helper()
		b := goldens()["reserve"]
		change(&b, &b.Events[0])
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", name)
			}
		}()
		Append(nil, b)
	}
	f("quantity", func(_ *Batch, e *Event) { e.Quantity = 1 << 24 })
	f("negative quantity", func(_ *Batch, e *Event) { e.Quantity = -1 })
	f("avail", func(_ *Batch, e *Event) { e.Avail = -1 })
	f("held", func(_ *Batch, e *Event) { e.Held = stock.UnitsMax + 1 })
	f("seq", func(_ *Batch, e *Event) { e.Seq = stock.SeqMax + 1 })
	f("deadline", func(_ *Batch, e *Event) { e.DeadlineMS = stock.TimeMaxMS + 1 })
	f("time", func(b *Batch, _ *Event) { b.TimeMS = -1 })
	f("partition", func(b *Batch, _ *Event) { b.Partition = 1 << 16 })
}

func TestSettingsRoundTrip(t *testing.T) {
	t.Parallel()
	for _, s := range []stock.Settings{
		{},
		{Limit: 1<<24 - 1, OpensAtMS: stock.TimeMaxMS, ClosesAtMS: stock.TimeMaxMS, Hold: stock.HoldMax, Ack: stock.AckLog},
		{Hold: time.Millisecond, ShopperDeducts: true},
		{Frozen: true},
		{Hold: time.Minute, ExtendMax: stock.HoldMax},
		{Hold: time.Minute, RegisteredOnly: true},
	} {
		for _, shut := range []Shut{0, ShutFenced, ShutBreached, ShutFenced | ShutBreached} {
			data := AppendSettings(nil, s, shut)
			if got, gotShut := SettingsFrom(data); got != s || gotShut != shut || len(data) != SettingsBytes && !LongSettings(s) {
				t.Errorf("%+v, %d is read as %+v, %d from %d bytes", s, shut, got, gotShut, len(data))
			}
		}
	}
}

func TestStateAfterEvent(t *testing.T) {
	t.Parallel()
	for kind, want := range map[Kind]stock.State{
		KindReserve: stock.StateHeld, KindConfirm: stock.StateConfirmed, KindRelease: stock.StateReleased,
		KindExpire: stock.StateExpired, KindDeduct: stock.StateConfirmed, KindAdjust: stock.StateAdjusted,
		KindTransferOut: stock.StateAdjusted, KindTransferIn: stock.StateAdjusted, KindRebase: stock.StateAdjusted,
		KindRevoke: stock.StateRevoked, KindReturn: stock.StateReturned, KindExtend: stock.StateHeld, 0: stock.StateNone, 13: stock.StateNone,
	} {
		if got := kind.State(); got != want {
			t.Errorf("%v leaves %v, want %v", kind, got, want)
		}
	}
}

// FuzzDecode looks for bytes that make the decoder panic, or that it reads as something that is
// written otherwise: then two programs could take one message for two.
func FuzzDecode(f *testing.F) {
	for _, b := range goldens() {
		f.Add(Append(nil, b))
	}
	f.Add([]byte{Version})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Decode(data)
		if err != nil {
			if errors.Is(err, ErrMalformed) == errors.Is(err, ErrVersion) {
				t.Fatalf("error of no one kind: %v", err)
			}
			return
		}
		if again := Append(nil, b); !bytes.Equal(again, data) {
			t.Fatalf("%x is written as %x", data, again)
		}
		for i := range b.Events {
			_ = b.Events[i].Check() // must not panic on what can be decoded
			b.Events[i].Before()
		}
	})
}

// FuzzDecodeAdjust puts the fuzzer behind the head of a batch, where random bytes rarely get.
func FuzzDecodeAdjust(f *testing.F) {
	const at = headerBytes + Bytes
	data := Append(nil, goldens()["adjust"])
	f.Add(data[at:])
	f.Add([]byte{0, byte(KindAdjust.changeBytes(VersionOldest))})
	f.Fuzz(func(t *testing.T, change []byte) {
		whole := append(bytes.Clone(data[:at]), change...)
		b, err := Decode(whole)
		if err == nil && !bytes.Equal(Append(nil, b), whole) {
			t.Fatalf("%x is written otherwise", whole)
		}
	})
}
