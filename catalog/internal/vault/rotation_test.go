package vault

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/core/db"
)

const dirEnv, dsnsEnv, stepEnv = "SLUICE_TEST_VAULT_DIR", "SLUICE_TEST_VAULT_DSNS", "SLUICE_TEST_VAULT_STEP"

func (w *world) file() string { return filepath.Join(w.dir, "vault.json") }

// rotate lets a new key wrap at once. In use there is a while between, in which all processes read the file.
func (w *world) rotate() uint32 {
	w.Helper()
	id, _, err := Rotate(w.file(), 0)
	if err != nil {
		w.Fatal(err)
	}
	return id
}

func (w *world) status(v *Vault) map[uint32]State {
	w.Helper()
	list, err := v.Status(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	byID := map[uint32]State{}
	for _, s := range list {
		byID[s.ID] = s
	}
	return byID
}

// TestRotationWhileOthersWork lets 8 writers seal, open and erase, each as a process of its own, while keys are rotated, wrapped
// again and dropped.
func TestRotationWhileOthersWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	var next atomic.Int64
	var kept [8]map[int64][]byte
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for n := range kept {
		kept[n] = map[int64][]byte{}
		v := w.another("vault.json")
		v.opened = newCache(10, 50*time.Millisecond) // so that they read
		random := rand.New(rand.NewPCG(seed, uint64(n)))
		working.Go(func() {
			var mine []int64
			for ctx.Err() == nil {
				user := next.Add(1)
				sealed, err := v.Seal(ctx, user, word, []byte(fmt.Sprint(user)))
				if err == nil {
					kept[n][user], mine = sealed, append(mine, user)
					at := random.IntN(len(mine))
					other := mine[at]
					if random.IntN(4) == 0 {
						err = db.Write(ctx, v.place(other).Writer(), "a user", func(tx *sql.Tx) error { return v.Erase(ctx, tx, other) })
						delete(kept[n], other)
						mine = slices.Delete(mine, at, at+1)
					} else if text, openErr := v.Open(ctx, other, word, kept[n][other]); openErr != nil || string(text) != fmt.Sprint(other) {
						err = fmt.Errorf("user %d opens as %q: %w", other, text, openErr)
					}
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	operator := w.another("vault.json")
	for range 2 {
		old, _ := operator.Ring.primary()
		time.Sleep(lookEvery) // until the operator may look again
		began := next.Load()
		id := w.rotate()
		time.Sleep(lookEvery + lookEvery/2) // all look once a second
		for next.Load() < began+50 && ctx.Err() == nil && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		for operator.Ring.look(); ; time.Sleep(20 * time.Millisecond) {
			if _, err := operator.Rewrap(t.Context(), func(int64) {}); err != nil {
				t.Fatal(err)
			}
			if err := operator.Drop(t.Context(), old); err == nil {
				break
			} else if !strings.Contains(err.Error(), "wraps keys of thing in place") {
				t.Fatal(err)
			}
		}
		if s := w.status(operator); s[id].Does != DoesWrap || s[id].Wraps == 0 {
			t.Errorf("key %d: %+v", id, s[id])
		}
	}
	cancel()
	working.Wait()
	fresh, opened := w.another("vault.json"), 0
	for n := range kept {
		for user, sealed := range kept[n] {
			w.opens(fresh, user, sealed, fmt.Sprint(user))
			opened++
		}
	}
	t.Logf("%d users, %d kept", next.Load(), opened)
	if err := fresh.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// killedRewrap wraps keys again, and ends the process by SIGKILL at a step.
func killedRewrap(dir, step string, dsns []string) {
	ring, err := ReadRing(filepath.Join(dir, "vault.json"), discard)
	if err != nil {
		panic(err)
	}
	v := New(Config{Owner: "thing", Kind: Users, Places: openPlaces(dsns...), Ring: ring})
	v.step = func(at string) {
		if at == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	_, err = v.Rewrap(context.Background(), func(int64) {})
	fmt.Println(err)
	os.Exit(3)
}

// TestKilledRewraps ends processes in the middle. Each one that follows goes on with what remains, and all opens all the time.
func TestKilledRewraps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const users = 4*batchMax + 100 // so that a place has more than one batch
	var sealed [users][]byte
	var group errgroup.Group
	group.SetLimit(16)
	for user := range sealed {
		group.Go(func() (err error) {
			sealed[user], err = w.Seal(t.Context(), int64(user+1), word, []byte(fmt.Sprint(user)))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	old, _ := w.Ring.primary()
	id := w.rotate()
	for i, step := range []string{"opened", "wrapped", "opened", "wrapped"} {
		process := exec.CommandContext(t.Context(), os.Args[0])
		process.Env = append(slices.Clone(os.Environ()), dirEnv+"="+w.dir, dsnsEnv+"="+strings.Join(w.dsns, " "), stepEnv+"="+step)
		if out, err := process.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("at step %s: %v\n%s", step, err, out)
		}
		done := w.count("SELECT COUNT(*) FROM thing_keys__ WHERE key_id = ?", id)
		if whole := (i + 1) / 2; done > whole*batchMax || (done == 0) != (whole == 0) {
			t.Errorf("after %d kills %d keys are wrapped again", i+1, done)
		}
		fresh := w.another("vault.json")
		for _, user := range []int{0, users / 2, users - 1} {
			w.opens(fresh, int64(user+1), sealed[user], fmt.Sprint(user))
		}
	}
	before := int64(w.count("SELECT COUNT(*) FROM thing_keys__ WHERE key_id = ?", old))
	fresh := w.another("vault.json")
	if s := w.status(fresh); s[old].Wraps != before || s[id].Wraps != users-before || s[old].Droppable || s[id].Droppable {
		t.Errorf("%+v", s)
	}
	var told int64
	done, err := fresh.Rewrap(t.Context(), func(n int64) { told = n })
	if err != nil || done != before || told != done {
		t.Errorf("%d were wrapped again and %d told of %d, %v", done, told, before, err)
	}
	if s := w.status(fresh); !s[old].Droppable || s[id].Wraps != users {
		t.Errorf("%+v", s)
	}
	if err := fresh.Drop(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	last := w.another("vault.json")
	for user := range sealed {
		w.opens(last, int64(user+1), sealed[user], fmt.Sprint(user))
	}
	if s := w.status(last); len(s) != 1 {
		t.Errorf("%+v", s)
	}
}

// TestKeysAreDroppedLast: a key that wraps, or will, is not dropped, and one that was dropped wraps nothing in a process that
// still has it.
func TestKeysAreDroppedLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	held, err := os.ReadFile(w.file())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "stale.json"), held, 0o600); err != nil {
		t.Fatal(err)
	}
	stale, idle := w.another("stale.json"), w.another("stale.json")
	sealed := w.seal(stale, 1, "a word")
	old, _ := w.Ring.primary()
	refused := func(v *Vault, id uint32, want string) {
		t.Helper()
		if err := v.Drop(t.Context(), id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("key %d is dropped: %v, want %s", id, err, want)
		}
	}
	refused(w.Vault, old, "only a key that another one has followed")
	waiting, _, err := Rotate(w.file(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	refused(w.another("vault.json"), waiting, "only a key that another one has followed")
	refused(w.another("vault.json"), 12345, "is not in")
	if err := os.WriteFile(w.file(), held, 0o600); err != nil {
		t.Fatal(err)
	}
	id := w.rotate()
	fresh := w.another("vault.json")
	refused(fresh, old, "sluice catalog vault rewrap")
	if _, err := fresh.Rewrap(t.Context(), func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if err := fresh.Drop(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]*Vault{"one that has wrapped": stale, "one that has not": idle} {
		for user := int64(100); user < 130; user++ { // in all places
			if _, err := v.Seal(t.Context(), user, word, nil); err == nil || !strings.Contains(err.Error(), fmt.Sprint(id)) && !strings.Contains(err.Error(), fmt.Sprint(old)) {
				t.Errorf("%s wraps with a key that was dropped: %v", name, err)
			}
		}
		v.opened = newCache(10, time.Minute)
		if _, err := v.Open(t.Context(), 1, word, sealed); err == nil || !strings.Contains(err.Error(), "give this process the file that has it") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := idle.Check(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("it lacks key %d", id)) {
		t.Errorf("a process with the old file starts: %v", err)
	}
}

// TestOtherFilesAreRefused starts with a file that is not the one of the database.
func TestOtherFilesAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := Generate(filepath.Join(w.dir, "other.json")); err != nil {
		t.Fatal(err)
	}
	other := w.another("other.json")
	if err := other.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "its indexing key is another one") || !strings.Contains(err.Error(), "other.json") {
		t.Errorf("before anything is sealed: %v", err)
	}
	w.seal(w.Vault, 1, "a word")
	if _, err := other.Seal(t.Context(), 2, word, nil); err == nil {
		t.Error("a process with another file seals")
	}
	// A place that is empty takes nothing from a file that another place refuses.
	for _, p := range w.places[:1] {
		for _, table := range []string{"thing_keys__", "thing_key_proofs__"} {
			if _, err := p.In(p.Writer()).ExecContext(t.Context(), "DELETE FROM "+table); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := other.Begin(t.Context()); err == nil {
		t.Error("another file starts beside an empty place")
	}
	if err := w.another("vault.json").Begin(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTwoBeginWithTwoFiles: of two processes that begin at once with files of their own, one may go on.
func TestTwoBeginWithTwoFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 10 {
		w.exec("DELETE FROM thing_key_proofs__")
		var checks [2]error
		var both sync.WaitGroup
		for i := range checks {
			name := fmt.Sprintf("%d.json", i)
			_ = os.Remove(filepath.Join(w.dir, name))
			if _, err := Generate(filepath.Join(w.dir, name)); err != nil {
				t.Fatal(err)
			}
			v := w.another(name)
			both.Go(func() { checks[i] = v.Begin(t.Context()) })
		}
		both.Wait()
		if (checks[0] == nil) == (checks[1] == nil) {
			t.Fatalf("want one to go on: %v, %v", checks[0], checks[1])
		}
	}
}
