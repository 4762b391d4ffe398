package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/catalog/account/audit"
	"sluice/core/shard"
)

// TestNothingIsSignedOfARewrittenChain: a checkpoint of a chain that was written anew would say that it is as it was written.
func TestNothingIsSignedOfARewrittenChain(t *testing.T) {
	t.Parallel()
	d, signers := one(t), keys(t)
	path := filepath.Join(t.TempDir(), "audit.jws")
	marks := func() (all []audit.Head) {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := audit.ReadCheckpoints(strings.NewReader(string(text)), signers, func(h audit.Head) { all = append(all, h) }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	process := func() *audit.Checkpoints {
		return audit.NewCheckpoints(audit.NewReader(d), signers, path, time.Hour, discard)
	}
	exec := func(statement string) {
		t.Helper()
		if _, err := d.At(shard.OfUser(1)).Writer().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	c := process()
	mustDo(t, d, 1, nil)
	mustDo(t, d, 1, nil)
	if err := c.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	chain := audit.ChainOf(shard.OfUser(1))
	exec("DELETE FROM audit_entries WHERE n = 2")
	for _, n := range []int{1, 2, 3} { // cut off, then with another entry at its place, then with one behind it
		mustDo(t, d, 3, nil) // of another chain
		if err := c.Write(t.Context()); !errors.Is(err, audit.ErrRewritten) || !strings.Contains(err.Error(), chain.String()) {
			t.Errorf("with %d entries: %v", n, err)
		}
		all := marks()
		if last := all[len(all)-1]; len(all) != 1+n || last.Chain == chain || last.N != uint64(n) {
			t.Errorf("with %d entries the checkpoints say %+v", n, all)
		}
		mustDo(t, d, 1, nil)
	}
	if _, found := verify(t, d); len(found) != 0 {
		t.Errorf("without checkpoints: %v", found)
	}
	if err := process().Write(t.Context()); err != nil { // it knows nothing of before
		t.Fatal(err)
	}
	if _, found := verify(t, d, marks()...); len(found) != 1 || found[0].Kind != audit.KindReplaced || found[0].N != 2 {
		t.Errorf("%v", found)
	}
}
