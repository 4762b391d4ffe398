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
