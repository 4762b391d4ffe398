package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/auth"
)

// A token is all that is on stdout, whether the keys are named or found through the development stack.
func TestToken(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "keys.json")
	if err := auth.WriteKeys(file, key); err != nil {
		t.Fatal(err)
	}
	stack := fmt.Sprintf(`{"redis_addr":"a:1,b:2","mysql_dsn":"root:hunter2@tcp(a:1)/x","kafka_brokers":"c:3,d:4","token_key_file":%q}`, file)
	if err := os.MkdirAll(".sluice", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(".sluice/dev.json", []byte(stack), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.ReadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	verifier := auth.NewVerifier(keys, auth.VerifierConfig{Issuer: "sluice", Audience: "sluice", CacheMax: 10})
	for _, c := range []struct {
		args  []string
		lives time.Duration
	}{
		{[]string{"token", "--user", "1001", "--role", "service"}, time.Hour},
		{[]string{"token", "--user", "1001", "--role", "service", "--ttl", "5h", "--token-key-file", file}, 5 * time.Hour},
	} {
		var o output
		if code := Run(c.args, o.console()); code != command.ExitDone {
			t.Fatalf("%v: exit code %d: %s", c.args, code, o.err.String())
		}
		token, rest, _ := strings.Cut(o.out.String(), "\n")
		now := time.Now()
		who, err := verifier.Verify([]byte(token), now.Add(c.lives-time.Minute))
		if err != nil || rest != "" || who != (auth.Identity{Subject: 1001, Role: auth.RoleService}) {
			t.Errorf("%v: %q is for %+v, %v", c.args, o.out.String(), who, err)
		}
		if _, err := verifier.Verify([]byte(token), now.Add(c.lives)); err == nil {
			t.Errorf("%v: good after %v", c.args, c.lives)
		}
		if o.err.Len() > 0 { // a token and nothing else
			t.Errorf("%v: stderr %q", c.args, o.err.String())
		}
	}
}

// A load test's shoppers have a token each, in their order, in a file that nobody else can read and that is whole or not
// there.
func TestTokensOfManyUsers(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.WriteKeys("keys.json", key); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.ReadKeys("keys.json")
	if err != nil {
		t.Fatal(err)
	}
	token := func(args ...string) (int, output) {
		t.Helper()
		var o output
		return Run(append([]string{"token", "--role", "shopper", "--token-key-file", "keys.json"}, args...), o.console()), o
	}
	if code, o := token("--user", "7", "--users", "300", "--out", "tokens.txt"); code != command.ExitDone || o.out.Len() > 0 {
		t.Fatalf("exit code %d: %s%s", code, o.out.String(), o.err.String())
	}
	if info, err := os.Stat("tokens.txt"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info, err)
	}
	made, err := os.ReadFile("tokens.txt")
	if err != nil {
		t.Fatal(err)
	}
	verifier := auth.NewVerifier(keys, auth.VerifierConfig{Issuer: "sluice", Audience: "sluice", CacheMax: 1000})
	lines := strings.Split(strings.TrimSuffix(string(made), "\n"), "\n")
	for i, line := range lines {
		if who, err := verifier.Verify([]byte(line), time.Now()); err != nil || who != (auth.Identity{Subject: 7 + int64(i), Role: auth.RoleShopper}) {
			t.Fatalf("line %d is of %+v, %v", i+1, who, err)
		}
	}
	if len(lines) != 300 {
		t.Errorf("%d lines, want 300", len(lines))
	}
	if code, o := token("--user", "8", "--users", "2"); code != command.ExitDone || strings.Count(o.out.String(), "\n") != 2 || o.err.Len() > 0 {
		t.Errorf("on the standard output: exit code %d: %s%s", code, o.out.String(), o.err.String())
	}
	for want, args := range map[string][]string{
		"tokens.txt exists, and is not overwritten": {"--user", "7", "--out", "tokens.txt"},
		"the last user would have an id above":      {"--user", "9223372036854775807", "--users", "2", "--out", "new.txt"},
		"want a whole number, 1 to 1000000":         {"--user", "1", "--users", "1000001", "--out", "new.txt"},
		"issue token for 25h0m0s":                   {"--user", "1", "--users", "2", "--ttl", "25h", "--out", "new.txt"},
		"one admin approves a plan":                 {"--user", "1", "--users", "2", "--plan", strings.Repeat("0", 64), "--out", "new.txt"},
		"--out: create no/new.txt":                  {"--user", "1", "--out", "no/new.txt"},
	} {
		if code, o := token(args...); code != command.ExitUsage || !strings.Contains(o.err.String(), want) {
			t.Errorf("%v: exit code %d: %s, want %q", args, code, o.err.String(), want)
		}
	}
	if again, err := os.ReadFile("tokens.txt"); err != nil || !bytes.Equal(again, made) {
		t.Errorf("the file was overwritten: %v", err)
	}
	if _, err := os.Stat("new.txt"); err == nil {
		t.Error("what was refused has left a file")
	}
}

// A new key is in the form that the settings read, for its owner only, and never overwrites another.
func TestKeygenMakesWhatTokensNeed(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, alg := range []string{auth.HS256, auth.EdDSA} {
		file := filepath.Join(dir, alg+".json")
		keygen := []string{"token", "keygen", "--alg", alg, "--kid", "2026-01", "--out", file}
		var o output
		if code := Run(keygen, o.console()); code != command.ExitDone || !strings.Contains(o.out.String(), "2026-01") {
			t.Fatalf("%v: exit code %d: %s%s", keygen, code, o.out.String(), o.err.String())
		}
		made, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", file, info.Mode(), err)
		}
		if code := Run(keygen, o.console()); code != command.ExitUsage || !strings.Contains(o.err.String(), "exists, and its keys are never overwritten: name another file by --out") {
			t.Errorf("again: exit code %d: %s", code, o.err.String())
		}
		if still, err := os.ReadFile(file); err != nil || !bytes.Equal(still, made) {
			t.Errorf("the file was overwritten: %v", err)
		}
		var token output
		if code := Run([]string{"token", "--user", "7", "--role", "admin", "--token-key-file", file}, token.console()); code != command.ExitDone {
			t.Errorf("issue with the %s key: exit code %d: %s", alg, code, token.err.String())
		}
	}
	var printed output
	if code := Run([]string{"token", "keygen"}, printed.console()); code != command.ExitDone || printed.err.Len() > 0 {
		t.Fatalf("print: exit code %d: %s", code, printed.err.String())
	}
	if err := os.WriteFile("printed.json", printed.out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.ReadKeys("printed.json"); err != nil {
		t.Error(err)
	}
	var o output
	if code := Run([]string{"token", "keygen", "--kid", strings.Repeat("x", 65)}, o.console()); code != command.ExitUsage || o.out.Len() > 0 {
		t.Errorf("a kid that is too long: exit code %d: %s", code, o.err.String())
	}
}

// A service's token can be narrowed, and nobody else's.
func TestTokensOfScopes(t *testing.T) {
	t.Chdir(t.TempDir())
	key, err := auth.GenerateKey(auth.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.WriteKeys("keys.json", key); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.ReadKeys("keys.json")
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, string, int) {
		var o output
		code := Run(append([]string{"token", "--user", "7", "--token-key-file", "keys.json"}, args...), o.console())
		return o.out.String(), o.err.String(), code
	}
	token, said, code := run("--role", "service", "--scope", "users:read", "--scope", "stock:write")
	who, err := auth.NewVerifier(keys, auth.VerifierConfig{Issuer: "sluice", Audience: "sluice"}).Verify([]byte(strings.TrimSpace(token)), time.Now().Add(time.Second))
	if code != command.ExitDone || err != nil || who.Role != auth.RoleService || who.Scopes.String() != "stock:write users:read" {
		t.Errorf("%+v, %v: exit code %d: %s", who, err, code, said)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--role", "service", "--scope", "orders:write"}, `--scope: scope "orders:write": want stock:read, stock:write, users:read, users:write, products:read`},
		{[]string{"--role", "service", "--scope", ""}, `--scope: scope "": want `},
		{[]string{"--role", "admin", "--scope", "users:read"}, "--scope: a token of the role admin has none: leave it out, or take --role service"},
		{[]string{"--role", "shopper", "--scope", "users:read"}, "--scope: a token of the role shopper has none"},
	} {
		if out, said, code := run(c.args...); code != command.ExitUsage || !strings.Contains(said, c.says) || out != "" {
			t.Errorf("%v: exit code %d: %q %s", c.args, code, out, said)
		}
	}
}
