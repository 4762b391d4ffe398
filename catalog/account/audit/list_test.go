package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/catalog/account/audit"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/shard"
)

// search reads all pages of a list, and returns the reasons in it.
func search(t *testing.T, d *place.Databases, f audit.Filter, limit int) (reasons []string) {
	t.Helper()
	r, page := audit.NewReader(d), audit.Page{Limit: limit}
	for {
		found, next, err := r.Search(t.Context(), f, page)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > limit || next != "" && len(found) != limit {
			t.Fatalf("a page of %d entries, and the next is %q", len(found), next)
		}
		for _, e := range found {
			reasons = append(reasons, e.Why)
		}
		if next == "" {
			return reasons
		}
		page.After = next
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	d := four(t)
	const acts = 23
	var all []string
	for i := range acts {
		mustDo(t, d, int64(1+i%5), func(a *audit.Act) {
			a.Actor, a.Act, a.Why = audit.Of("admin", int64(1+i%2)), []string{"user.make", "user.lock", "user.lock"}[i%3], fmt.Sprintf("reason %d", i)
		})
		all = append(all, fmt.Sprintf("reason %d", i))
		time.Sleep(2 * time.Millisecond) // so that times are in the order of acts, in all databases
	}
	slices.Reverse(all)
	pick := func(is func(i int) bool) (some []string) {
		for i, reason := range all {
			if is(acts - 1 - i) {
				some = append(some, reason)
			}
		}
		return some
	}
	f := func(name string, filter audit.Filter, want []string) {
		t.Helper()
		for _, limit := range []int{1, 3, 100} {
			if got := search(t, d, filter, limit); !slices.Equal(got, want) {
				t.Errorf("%s by %d: %q, want %q", name, limit, got, want)
			}
		}
	}
	f("all", audit.Filter{}, all)
	f("by actor", audit.Filter{Actor: "admin:2"}, pick(func(i int) bool { return i%2 == 1 }))
	f("by act", audit.Filter{Act: "user.lock"}, pick(func(i int) bool { return i%3 != 0 }))
	f("by object", audit.Filter{Object: "user:4"}, pick(func(i int) bool { return i%5 == 3 }))
	f("by both", audit.Filter{Actor: "admin:1", Object: "user:4"}, pick(func(i int) bool { return i%5 == 3 && i%2 == 0 }))
	f("nobody's", audit.Filter{Actor: "admin:9"}, nil)
	found, _, err := audit.NewReader(d).Search(t.Context(), audit.Filter{}, audit.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	f("before", audit.Filter{Until: found[9].At}, all[10:])
	f("from", audit.Filter{From: found[9].At}, all[:10])
	f("between", audit.Filter{From: found[9].At, Until: found[4].At}, all[5:10])
	f("later", audit.Filter{From: time.Now().Add(time.Hour)}, nil)
	for _, cursor := range []string{"x", "1.2", "1.2.3.4", "-1.2.3", "1.2.3 ", "+1.2.3", "01.2.3", "99999999999999999999.1.1", "9223372036854775807.1.1", "1.4294967296.1"} {
		if _, _, err := audit.NewReader(d).Search(t.Context(), audit.Filter{}, audit.Page{Limit: 1, After: cursor}); !errors.Is(err, audit.ErrCursor) {
			t.Errorf("%q: %v", cursor, err)
		}
	}
}

// TestExports writes a log to a file, and edits the file in every way.
func TestExports(t *testing.T) {
	t.Parallel()
	d, signers, strangers := four(t), keys(t), keys(t)
	for i := range 30 {
		mustDo(t, d, int64(1+i%4), func(a *audit.Act) { a.Why = fmt.Sprintf("reason %d", i) })
	}
	export := func(by *auth.Keys) string {
		t.Helper()
		var out bytes.Buffer
		m, err := audit.NewReader(d).Export(t.Context(), &out, by, time.Now(), func(int64) {})
		if err != nil || m.Entries != 30 || len(m.Heads) != len(heads(t, d)) {
			t.Fatalf("%+v, %v", m, err)
		}
		return out.String()
	}
	check := func(text string, by *auth.Keys) (audit.Exported, *audit.Checker, error) {
		c := audit.NewChecker()
		for _, h := range heads(t, d) {
			c.Mark(h)
		}
		done, err := audit.VerifyExport(t.Context(), strings.NewReader(text), by, c, func() {})
		return done, c, err
	}
	signed, plain := export(signers), export(nil)
	for name, c := range map[string]struct {
		text   string
		by     *auth.Keys
		signed bool
	}{
		"signed": {signed, signers, true}, "signed, without keys": {signed, nil, false}, "not signed": {plain, signers, false}, "neither": {plain, nil, false},
	} {
		done, checker, err := check(c.text, c.by)
		if entries, chains, findings := checker.Counts(); err != nil || done.Signed != c.signed || entries != 30 || int(chains) != len(done.Heads) || findings != 0 {
			t.Errorf("%s: %+v, %v: %d entries, %v", name, done, err, entries, checker.Findings())
		}
	}
	lines := strings.SplitAfter(signed, "\n")
	for name, text := range map[string]string{
		"empty": "", "cut": signed[:len(signed)/2], "cut at a line": strings.Join(lines[:20], ""), "without its last line end": strings.TrimSuffix(signed, "\n"),
		"without its manifest": strings.Join(lines[:30], ""), "edited": strings.Replace(signed, "reason 7", "reason 8", 1),
		"a line less": strings.Join(slices.Delete(slices.Clone(lines), 3, 4), ""), "a line more": lines[0] + signed, "two": signed + signed, "something else": "{}\n",
		"an unknown member": strings.Replace(signed, `{"chain"`, `{"x":1,"chain"`, 1), "a long line": strings.Repeat("x", 1<<20) + "\n" + signed,
		"another manifest": strings.Join(lines[:30], "") + strings.Split(plain, "\n")[30][:40] + "\n",
	} {
		if _, _, err := check(text, signers); !errors.Is(err, audit.ErrExport) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := check(signed, strangers); !errors.Is(err, audit.ErrExport) {
		t.Errorf("signed by somebody else: %v", err)
	}
}

// TestSearchIsNeverOld has a replica that is behind, and that others may read from.
func TestSearchIsNeverOld(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	primary, replicas := servicetest.ReplicatedMariaDB(t, 1)
	if err := primary.CreateDatabase(ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	m := shard.One(shard.Database{Name: "shop", DSN: config.Secret(primary.DSN("shop")), Readers: []config.Secret{config.Secret(replicas[0].DSN("shop"))}})
	d, err := place.Open(place.Options{Map: m, MySQL: db.Config{ConnsMax: 4, Timeout: time.Minute}, LagMax: time.Hour, Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(ctx, place.Owners{place.Beats, audit.Schema()}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	mustDo(t, d, 1, nil)
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { d.Run(running); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	p := d.At(shard.OfUser(1))
	end := time.Now().Add(time.Minute)
	for reads, acts := uint64(0), 0; reads == 0 || acts == 0; reads, _, _ = p.Reads() { // until the replica answers, and has the first act
		time.Sleep(20 * time.Millisecond)
		var err error
		acts, err = place.Read(ctx, p, 0, func(in place.Conn) (n int, err error) {
			err = in.QueryRowContext(ctx, "SELECT COUNT(*) FROM audit_entries__").Scan(&n)
			return n, err
		})
		if err != nil || time.Now().After(end) {
			t.Fatal("the replica does not catch up: ", err)
		}
	}
	if err := replicas[0].Lag(ctx, true); err != nil {
		t.Fatal(err)
	}
	mustDo(t, d, 1, nil)
	if found := search(t, d, audit.Filter{}, 10); len(found) != 2 {
		t.Errorf("%d acts, want 2", len(found))
	}
}

// TestCheckpointsWithoutAPlace writes down the chains of the places that are there.
func TestCheckpointsWithoutAPlace(t *testing.T) {
	t.Parallel()
	d, signers := four(t), keys(t)
	path := filepath.Join(t.TempDir(), "audit.jws")
	c := audit.NewCheckpoints(audit.NewReader(d), signers, path, time.Hour, discard)
	for user := range int64(20) {
		mustDo(t, d, user+1, nil)
	}
	all, away := heads(t, d), audit.Places(d)[0]
	rename := func(from, to string) {
		t.Helper()
		if _, err := away.In(away.Writer()).ExecContext(t.Context(), "RENAME TABLE "+from+" TO "+to); err != nil {
			t.Fatal(err)
		}
	}
	marks := func() (got []audit.Head) {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bad, why, err := audit.ReadCheckpoints(bytes.NewReader(text), signers, func(h audit.Head) { got = append(got, h) }); err != nil || bad != 0 {
			t.Errorf("%d lines are bad: %v, %v", bad, why, err)
		}
		return got
	}
	rename("audit_entries__", "gone__")
	if err := c.Write(t.Context()); err == nil {
		t.Error("nobody learns that a place is away")
	}
	if got := marks(); len(got) == 0 || len(got) >= len(all) {
		t.Errorf("%d of %d chains", len(got), len(all))
	}
	rename("gone__", "audit_entries__")
	if err := c.Write(t.Context()); err != nil {
		t.Error(err)
	}
	if got := marks(); len(got) != len(all) {
		t.Errorf("then %d of %d chains", len(got), len(all))
	}
}

// TestCheckpoints writes some, and verifies a log by them after its end was cut off.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	d, signers := one(t), keys(t)
	path := filepath.Join(t.TempDir(), "audit.jws")
	c := audit.NewCheckpoints(audit.NewReader(d), signers, path, time.Hour, discard)
	write := func(size string) string {
		t.Helper()
		if err := c.Write(t.Context()); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil && size != "none" {
			t.Fatal(err)
		}
		return string(text)
	}
	write("none") // nothing has happened, so that there is no file
	mustDo(t, d, 1, nil)
	mustDo(t, d, 3, nil) // user 2 is in the shard of user 1
	first := write("")
	if again := write(""); again != first {
		t.Error("nothing has happened, and there is another checkpoint")
	}
	mustDo(t, d, 1, nil)
	second := write("")
	if !strings.HasPrefix(second, first) || strings.Contains(second, "user") {
		t.Errorf("%s", second)
	}
	read := func(text string, by *auth.Keys) (marks []audit.Head, bad int) {
		t.Helper()
		bad, why, err := audit.ReadCheckpoints(strings.NewReader(text), by, func(h audit.Head) { marks = append(marks, h) })
		if err != nil || (bad > 0) != errors.Is(why, audit.ErrCheckpoint) {
			t.Errorf("%v, %v", err, why)
		}
		return marks, bad
	}
	marks, bad := read(second, signers)
	if bad != 0 || len(marks) != 3 || marks[2].N != 2 {
		t.Errorf("%+v, %d lines are bad", marks, bad)
	}
	if _, found := verify(t, d, marks...); len(found) != 0 {
		t.Error(found)
	}
	for name, text := range map[string]string{"cut": second[:len(second)-9], "begun": strings.TrimSuffix(first, "\n") + "x\n" + strings.TrimPrefix(second, first), "edited": strings.Replace(second, ".", ".A", 1)} {
		if got, bad := read(text, signers); bad != 1 || len(got) != 3-1 && len(got) != 1 {
			t.Errorf("%s: %+v, %d lines are bad", name, got, bad)
		}
	}
	if got, bad := read(second, keys(t)); bad != 2 || len(got) != 0 {
		t.Errorf("signed by others: %+v, %d lines are bad", got, bad)
	}
	if _, err := d.At(shard.OfUser(1)).Writer().ExecContext(t.Context(), "DELETE FROM audit_entries WHERE n = 2"); err != nil {
		t.Fatal(err)
	}
	if _, found := verify(t, d); len(found) != 0 {
		t.Errorf("without checkpoints a cut end was found: %v", found)
	}
	if _, found := verify(t, d, marks...); len(found) != 1 || found[0].Kind != audit.KindCut || found[0].N != 2 {
		t.Errorf("%v", found)
	}
}
