package cli

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/catalog/account"
	"sluice/catalog/account/audit"
	"sluice/cli/command"
	"sluice/core/auth"
	"sluice/core/ids"
	"sluice/core/place"
)

// TestAudit has the commands about the audit log find, export and verify acts, and tell when the log was edited.
func TestAudit(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	dir := t.TempDir()
	d.flags["--token-key-file"] = filepath.Join(dir, "keys.json")
	key, err := auth.GenerateKey(auth.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.WriteKeys(d.flags["--token-key-file"], key); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.ReadKeys(d.flags["--token-key-file"])
	if err != nil {
		t.Fatal(err)
	}
	d.run("audit", "search").want(command.ExitFailed, "there is no table audit_schema_version")
	d.run("catalog", "migrate").want(command.ExitDone)
	d.run("audit", "search").want(command.ExitDone, "no such acts")
	d.run("audit", "verify").want(command.ExitDone, "0 entries of 0 chains")

	databases, err := place.Config{}.Open(place.Options{MySQL: d.mysql, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = databases.Close() }()
	accounts := account.New(account.Config{Databases: databases})
	for user := ids.User(1); user <= 30; user++ {
		by := audit.Author{Actor: fmt.Sprintf("admin:%d", user%2), Origin: "192.0.2.1 9f3c"}
		if _, _, err := accounts.Make(t.Context(), 1+user%3, account.Home{Region: "eu", Locale: "de"}, by); err != nil {
			t.Fatal(err)
		}
		if _, _, err := accounts.Make(t.Context(), 1000+user, account.Home{Region: "eu", Locale: "de"}, by); err != nil {
			t.Fatal(err)
		}
	}
	checkpoints := filepath.Join(dir, "audit.jws")
	if err := audit.NewCheckpoints(audit.NewReader(databases), keys, checkpoints, 0, slog.New(slog.DiscardHandler)).Write(t.Context()); err != nil {
		t.Fatal(err)
	}

	d.run("audit", "search", "--object", "user:2").want(command.ExitDone, "admin:1")
	var page struct {
		Data []struct {
			Actor, Act, Object string
		}
		Next string `json:"next_cursor"`
	}
	seen, args := map[string]bool{}, []string{"audit", "search", "-o", "json", "--actor", "admin:1", "--since", "1h", "--limit", "4"}
	for more := args; more != nil; {
		r := d.run(more...).want(command.ExitDone)
		page.Data, page.Next, more = nil, "", nil
		if err := json.Unmarshal([]byte(r.out), &page); err != nil {
			t.Fatalf("%v: %s", err, r.out)
		}
		for _, act := range page.Data {
			if act.Actor != "admin:1" || act.Act != "user.make" {
				t.Errorf("found %+v", act)
			}
			seen[act.Object] = true
		}
		if page.Next != "" {
			more = slices.Concat(args, []string{"--cursor", page.Next})
		}
	}
	if len(seen) < 15 {
		t.Errorf("%d acts of one of two admins are found, of 33 acts", len(seen))
	}
	d.run("audit", "search", "--until", "2001-01-01T00:00:00Z").want(command.ExitDone, "no such acts")
	d.run("audit", "search", "--cursor", "x").want(command.ExitUsage, "--cursor: the cursor is not one of this list")
	d.run("audit", "search", "--since", "yesterday").want(command.ExitUsage, "since: want a time in RFC 3339")

	export := filepath.Join(dir, "audit.jsonl")
	d.run("audit", "export", "--out", export).want(command.ExitDone, "has 33 entries")
	d.run("audit", "export", "--out", export).want(command.ExitUsage, "--out: create")
	written, err := os.ReadFile(export)
	if err != nil {
		t.Fatal(err)
	}
	if printed := d.run("audit", "export").want(command.ExitDone).out; strings.Count(printed, "\n") != 34 || printed[:100] != string(written[:100]) {
		t.Errorf("printed %s", printed)
	}
	verify := func(code int, args []string, said ...string) result {
		t.Helper()
		return d.run(append([]string{"audit", "verify"}, args...)...).want(code, said...)
	}
	byCheckpoints := []string{"--checkpoints", checkpoints}
	verify(command.ExitDone, nil, "33 entries of ", "compared with 0 heads of checkpoints: 0 findings", "a chain that was cut off at its end looks whole")
	verify(command.ExitDone, byCheckpoints, "33 entries of ", ": 0 findings")
	verify(command.ExitDone, append([]string{"--export", export}, byCheckpoints...), "33 entries of ", ": 0 findings")
	unsigned := filepath.Join(dir, "unsigned.jsonl")
	if err := os.WriteFile(unsigned, regexp.MustCompile(`,"signed":"[^"]*"`).ReplaceAll(written, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	verify(command.ExitUnverified, append([]string{"--export", unsigned}, byCheckpoints...), "33 entries of ", "nobody has signed the export")
	keyFile := d.flags["--token-key-file"]
	delete(d.flags, "--token-key-file")
	for _, path := range []string{export, unsigned} {
		verify(command.ExitDone, []string{"--export", path}, "33 entries of ", "the signature of the export was not checked")
	}
	d.flags["--token-key-file"] = keyFile
	verify(command.ExitUsage, []string{"--checkpoints", filepath.Join(dir, "nowhere")}, "--checkpoints: open")
	verify(command.ExitUsage, []string{"--export", filepath.Join(dir, "nowhere")}, "--export: open")
	torn := filepath.Join(dir, "torn.jws")
	lines, err := os.ReadFile(checkpoints)
	if err != nil {
		t.Fatal(err)
	}
	edited := filepath.Join(dir, "edited.jsonl")
	for path, text := range map[string]string{torn: string(lines) + "half a li", edited: strings.Replace(string(written), `"eu"`, `"us"`, 1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify(command.ExitUnverified, []string{"--checkpoints", torn}, "torn.jws: 1 lines are not used", "1 lines of checkpoints could not be read")
	verify(command.ExitDrift, []string{"--export", edited}, "it is no whole export of the audit log")

	exec := func(statement string) {
		t.Helper()
		mysql, err := d.mysql.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer mysql.Close()
		if _, err := mysql.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("DELETE FROM audit_entries WHERE object = 'user:1030'")
	verify(command.ExitDone, nil)
	verify(command.ExitDrift, byCheckpoints, "cut", "the audit log is not as it was written: 1 findings")
	exec("UPDATE audit_entries SET why = 'another' WHERE object = 'user:1001'")
	r := verify(command.ExitDrift, []string{"-o", "json"})
	var report struct {
		Findings int64
		First    []audit.Finding `json:"first_findings"`
	}
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || report.Findings != 1 || report.First[0].Kind != audit.KindChanged {
		t.Errorf("%v: %s", err, r.out)
	}
}
