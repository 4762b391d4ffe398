package restore

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/core/event"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// A partition that has lost only a part knows more of a cell than MySQL and Kafka, or has a cell that this program cannot read. It is
// left as it is.
func TestTornPartitionsThatKnowMoreAreLeft(t *testing.T) {
	t.Parallel()
	cell := stock.Cell{SKU: 1}
	field := string(cell.Append(nil))
	for name, c := range map[string]struct {
		known stock.Position // in MySQL
		spoil func(value string) string
		want  string
	}{
		"the same":          {at(1, 2), func(v string) string { return v }, ""},
		"MySQL lacks one":   {at(1, 1), func(v string) string { return v }, "is at epoch 1 seq 2 there"},
		"MySQL has no cell": {stock.Position{}, func(v string) string { return v }, "is at epoch 1 seq 2 there"},
		"another form":      {at(1, 2), func(v string) string { return "\x09" + v[1:] }, "a form that this program does not know"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			value := "\x01" + strings.Repeat("\x00", 4) + "\x0a" + strings.Repeat("\x00", 10) + "\x00\x00\x00\x00\x00\x02" + "\x00\x00\x00\x00\x0a" + "\x00\x00\x00\x01" +
				string(event.AppendSettings(nil, stock.Settings{}, 0))
			w.must("HSET", "{p0}:cells", field, c.spoil(value))
			var r *run
			if c.known.Seq == 0 {
				r = w.run()
			} else {
				r = w.run(cellAt{cell, c.known})
			}
			r.plan.Torn = map[int]redisstock.Torn{0: {}}
			if err := r.compare(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			if why := r.report.Refused[0]; (why == "") != (c.want == "") || !strings.Contains(why, c.want) {
				t.Errorf("refused because %q, want %q", why, c.want)
			}
		})
	}
}

// Redis gets the records of purchases that it would still remember, and no older ones.
func TestOldPurchasesAreNotRemembered(t *testing.T) {
	t.Parallel()
	w, cell := newWorld(t), stock.Cell{SKU: 1}
	w.made(cell)
	bought := func(seq uint64, ago time.Duration, avail, sold int) stock.ReservationID {
		t.Helper()
		of := id(cell, ago.String())
		w.exec(`INSERT INTO ledger (sku_id, pool, bucket, epoch, seq, kind, reservation_id, user_id, quantity, fingerprint, available_stock, reserved_stock,
			sold_stock, deadline_ms, redis_ms) VALUES (1, 0, 0, 1, ?, 'deduct', ?, 8, 1, 0, ?, 0, ?, 0, ?)`, seq, of[:], avail, sold, w.nowMS-ago.Milliseconds())
		return of
	}
	old := bought(2, w.Vetting.Stock.Retention+time.Minute, 9, 1)
	young := bought(3, w.Vetting.Stock.Retention-time.Hour, 8, 2)
	if err := w.run(w.stocked(cell, at(1, 3))).refill(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	records, err := w.must("HKEYS", "{p0}:res").AsStrSlice()
	if err != nil || !strings.Contains(strings.Join(records, " "), string(young[:])) || strings.Contains(strings.Join(records, " "), string(old[:])) {
		t.Errorf("records of %x, %v: want that of %v, and not that of %v", records, err, young, old)
	}
	counts, err := w.must("HVALS", "{p0}:buyers:0").AsStrSlice()
	if err != nil || len(counts) != 1 || counts[0] != "\x00\x00\x02" {
		t.Errorf("the user's count is %x, %v, want 2", counts, err)
	}
}

// MySQL has only a dead letter of an event. The event happened in Redis. So did one of the two at a fork, and nobody knows which. Their
// partition is left as it is, until somebody has decided.
func TestPartitionsWithLettersAreLeft(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{"fork": "epoch 1 seq 2 is a dead letter", "refused": "epoch 1 seq 3 is a dead letter"} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			w, cell := newWorld(t), stock.Cell{SKU: 1}
			w.made(cell)
			w.held(cell, at(1, 2), 8)
			seq := 3
			if reason == "fork" {
				seq = 2
			}
			w.exec("INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, data) VALUES (LPAD(1, 32, '0'), ?, 'why', 1, 0, 0, 1, ?, 'x')", reason, seq)
			r := w.run(w.stocked(cell, at(1, 2)))
			if err := r.judgeLetters(t.Context()); err != nil {
				t.Fatal(err)
			}
			if why := r.report.Refused[0]; !strings.Contains(why, want) {
				t.Errorf("refused because %q, want %q", why, want)
			}
		})
	}
}

// Whoever restores keeps no partition that it leaves, or at which it has failed: another one may take it over.
func TestClaimEndsWithItsPartition(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *world, r *run){
		"left": func(w *world, r *run) {
			w.exec("INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, data) VALUES (LPAD(1, 32, '0'), 'refused', 'why', 1, 0, 0, 1, 2, 'x')")
			if err := r.judgeLetters(w.Context()); err != nil || r.report.Refused[0] == "" {
				w.Fatalf("%+v, %v, want partition 0 to be refused", r.report, err)
			}
		},
		"failed before it began": func(w *world, r *run) {
			ended, cancel := context.WithCancel(w.Context())
			cancel()
			if err := r.partition(ended, 0); err == nil {
				w.Fatal("it has restored a partition without time")
			}
		},
		"restored": func(w *world, r *run) {
			if err := r.partition(w.Context(), 0); err != nil {
				w.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, cell := newWorld(t), stock.Cell{SKU: 1}
			w.made(cell)
			r := w.run(w.stocked(cell, at(1, 1)))
			w.other()
			r.plan.Partitions, r.plan.Begun = []int{0}, []int{0}
			if err := r.takeOver(t.Context()); err != nil || !slices.Equal(r.claims(), []int{0}) {
				t.Fatalf("it has claimed %v, %v, want partition 0", r.claims(), err)
			}
			end(w, r)
			if kept := r.claims(); len(kept) > 0 {
				t.Errorf("it keeps %v", kept)
			}
		})
	}
}
