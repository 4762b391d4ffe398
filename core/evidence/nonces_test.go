package evidence_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/evidence"
	"sluice/core/stock"
	"sluice/core/stock/redisstock/redistest"
	"sluice/persister"
)

// TestNonces checks that the nonces in MySQL, and those of tests, keep the promises on which vetting relies.
func TestNonces(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(t *testing.T) stock.Nonces{
		"memory": func(*testing.T) stock.Nonces { return &redistest.Nonces{} },
		"mysql":  func(t *testing.T) stock.Nonces { t.Helper(); return evidence.NewNonces(newWorld(t).db) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := make(t)
			wantEffects := func(vettings ...stock.Mark) {
				t.Helper()
				got, err := n.Read(t.Context(), len(vettings))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(vettings, got); diff != "" {
					t.Errorf("vettings (-want +got):\n%s", diff)
				}
			}
			want := func(nonces ...uint64) {
				t.Helper()
				var vettings []stock.Mark
				for _, nonce := range nonces {
					vettings = append(vettings, stock.Mark{Nonce: nonce})
				}
				wantEffects(vettings...)
			}
			nothing := func(context.Context) error { return nil }
			replace := func(during func(context.Context) error, changes ...stock.NonceChange) error {
				return n.Replace(t.Context(), changes, during)
			}
			want(0, 0, 0)
			unseen := func(context.Context) error { want(0, 0, 0); return nil }
			if name == "memory" { // whose lock readers wait for
				unseen = nothing
			}
			if err := replace(unseen, stock.NonceChange{Partition: 0, New: 1<<63 - 1}, stock.NonceChange{Partition: 2, New: 5}); err != nil {
				t.Error(err)
			}
			want(1<<63-1, 0, 5)
			want(1<<63 - 1)
			for what, changes := range map[string][]stock.NonceChange{
				"there is one already": {{Partition: 1, New: 8}, {Partition: 2, New: 7}},
				"there is another one": {{Partition: 1, New: 8}, {Partition: 2, Old: 4, New: 7}},
				"there is none":        {{Partition: 2, Old: 5, New: 7}, {Partition: 1, Old: 1, New: 8}},
			} {
				if err := replace(func(context.Context) error { t.Error("called"); return nil }, changes...); !errors.Is(err, stock.ErrReplaced) {
					t.Errorf("%s: %v, want ErrReplaced", what, err)
				}
			}
			broken := errors.New("broken")
			if err := replace(func(context.Context) error { return broken }, stock.NonceChange{Partition: 2, Old: 5, New: 7}); !errors.Is(err, broken) {
				t.Errorf("error is %v, want that of during", err)
			}
			want(1<<63-1, 0, 5)
			if err := replace(nothing, stock.NonceChange{Partition: 2, Old: 5, New: 7}, stock.NonceChange{Partition: 1, New: 8}); err != nil {
				t.Error(err)
			}
			want(1<<63-1, 8, 7)

			for _, seen := range [][]stock.Mark{
				{{Nonce: 1<<63 - 1, Effects: 1<<48 - 1}, {}, {Nonce: 7, Effects: 5}},
				{{}, {Nonce: 9, Effects: 6}, {Nonce: 7, Effects: 4}, {Nonce: 3, Effects: 1}}, // other data, fewer, and unknown ones
				{{}, {}, {Nonce: 7}},
			} {
				if err := n.Saw(t.Context(), seen); err != nil {
					t.Error(err)
				}
			}
			wantEffects(stock.Mark{Nonce: 1<<63 - 1, Effects: 1<<48 - 1}, stock.Mark{Nonce: 8}, stock.Mark{Nonce: 7, Effects: 5}, stock.Mark{})
			if err := replace(nothing, stock.NonceChange{Partition: 2, Old: 7, New: 9}); err != nil {
				t.Error(err)
			}
			wantEffects(stock.Mark{Nonce: 1<<63 - 1, Effects: 1<<48 - 1}, stock.Mark{Nonce: 8}, stock.Mark{Nonce: 9})
		})
	}
}

// TestIdentity tells databases from each other, also after a migration that was repeated.
func TestIdentity(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 2 {
		w := newWorld(t)
		for range 2 {
			id, err := evidence.NewNonces(w.db).Identity(t.Context())
			if err != nil || len(id.ID) != 32 {
				t.Fatalf("identity is %+v (%v), want 32 digits", id, err)
			}
			seen[id.ID] = true
			if _, err := persister.Schema().Migrate(t.Context(), w.db, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(seen) != 2 {
		t.Errorf("two databases are %v", seen)
	}
}

// TestName keeps the first name, and adds the number of partitions if only the name is known.
func TestName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := evidence.NewNonces(w.db)
	want := func(partitions int, names ...any) {
		t.Helper()
		for i := 0; i < len(names); i += 2 {
			if err := n.Name(t.Context(), names[i].(string), names[i+1].(int)); err != nil {
				t.Fatal(err)
			}
		}
		if id, err := n.Identity(t.Context()); err != nil || id.Deployment != "mine" || id.Partitions != partitions {
			t.Errorf("after %v: %+v, %v", names, id, err)
		}
	}
	want(8, "mine", 8, "mine", 9, "theirs", 7)
	if _, err := w.db.ExecContext(t.Context(), "UPDATE ledger_identity SET partitions = NULL"); err != nil {
		t.Fatal(err)
	}
	want(0, "theirs", 7)
	want(16, "mine", 16)
}

// TestNoncesAreReplacedOnce lets many processes replace the same nonces at once, born and renewed.
func TestNoncesAreReplacedOnce(t *testing.T) {
	t.Parallel()
	n := evidence.NewNonces(newWorld(t).db)
	old := uint64(0)
	for round := range uint64(2) {
		const processes = 6
		var inside, done atomic.Int64
		errs := make(chan error, processes)
		for i := range uint64(processes) {
			go func() {
				changes := []stock.NonceChange{}
				for p := range 40 {
					changes = append(changes, stock.NonceChange{Partition: p, Old: old, New: 10*round + i + 1})
				}
				errs <- n.Replace(t.Context(), changes, func(context.Context) error {
					if inside.Add(1) != 1 {
						t.Error("two replace the same nonces at once")
					}
					inside.Add(-1)
					done.Add(1)
					return nil
				})
			}()
		}
		replaced := 0
		for range processes {
			err := <-errs
			if err == nil {
				replaced++
			} else if !errors.Is(err, stock.ErrReplaced) {
				t.Errorf("round %d: %v", round, err)
			}
		}
		if replaced != 1 {
			t.Errorf("round %d: %d processes replaced the nonces, want 1", round, replaced)
		}
		nonces, err := n.Read(t.Context(), 40)
		if err != nil {
			t.Fatal(err)
		}
		for p := range nonces {
			if nonces[p] != nonces[0] || nonces[p].Nonce == old {
				t.Fatalf("round %d: nonces are %v", round, nonces)
			}
		}
		old = nonces[0].Nonce
	}
}
