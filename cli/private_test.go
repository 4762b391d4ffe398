package cli

import (
	"os"
	"strings"
	"testing"

	"sluice/cli/command"
	"sluice/core/auth"
)

// If everybody can read the keys, the command still makes a token, and warns.
func TestOpenSecretFilesAreWarnedOf(t *testing.T) {
	t.Chdir(t.TempDir())
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.WriteKeys("keys.json", key); err != nil {
		t.Fatal(err)
	}
	for mode, open := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true, 0o602: true} {
		if err := os.Chmod("keys.json", mode); err != nil {
			t.Fatal(err)
		}
		var o output
		code := Run([]string{"token", "--user", "1", "--role", "admin", "--token-key-file", "keys.json"}, o.console())
		warned := strings.Contains(o.err.String(), "warning: keys.json is open to everybody")
		if code != command.ExitDone || warned != open || strings.Count(o.out.String(), "\n") != 1 {
			t.Errorf("mode %o: exit code %d, %s, printed %q", mode, code, o.err.String(), o.out.String())
		}
	}
}

// doctor tells of an open file once, as of all that is wrong.
func TestDoctorTellsOfAnOpenSecretFileOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.WriteKeys("keys.json", key); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SLUICE_MYSQL_DSN", "root@tcp(127.0.0.1:1)/sluice")
	for mode, told := range map[os.FileMode]int{0o600: 0, 0o644: 1, 0o606: 1} {
		if err := os.Chmod("keys.json", mode); err != nil {
			t.Fatal(err)
		}
		var o output
		code := Run([]string{"doctor", "--redis-addr", "127.0.0.1:1", "--kafka-brokers", "127.0.0.1:1", "--token-key-file", "keys.json"}, o.console())
		said := o.out.String() + o.err.String()
		if code != command.ExitFailed || strings.Count(said, "keys.json is open to") != told || strings.Count(said, "fail secrets: keys.json") != told {
			t.Errorf("mode %o: exit code %d, %s", mode, code, said)
		}
	}
}

// Every setting that names a file of secrets is marked as private.
func TestEverySecretFileIsMarked(t *testing.T) {
	t.Parallel()
	marked := map[string]bool{}
	for _, leaf := range model().Leaves(false) {
		for _, f := range leaf.Flags {
			secret := f.Name == "dev-file" || strings.HasSuffix(f.Name, "-file") && (strings.Contains(f.Name, "password") || strings.Contains(f.Name, "dsn") || strings.Contains(f.Name, "key") || strings.Contains(f.Name, "token") || strings.Contains(f.Name, "secret") || strings.Contains(f.Name, "webhook"))
			if secret != f.Tag.Has("private") {
				t.Errorf("%s --%s: private is %v", leaf.Path(), f.Name, !secret)
			}
			marked[f.Name] = marked[f.Name] || secret
		}
	}
	for _, name := range []string{"redis-password-file", "redis-sentinel-password-file", "mysql-dsn-file", "token-key-file", "operator-token-file", "approve-token-file", "dev-file", "account-secret-file", "messages-webhook-file"} {
		if !marked[name] {
			t.Errorf("no command has --%s", name)
		}
	}
}
