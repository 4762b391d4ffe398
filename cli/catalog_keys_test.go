package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/catalog/account"
	"sluice/cli/command"
	"sluice/core/auth"
)

// The keys of the shop are made once, listed without their secrets, and rotated only when every edge knows the next one.
func TestKeysOfTheShop(t *testing.T) {
	dir := t.TempDir()
	signing, secret := filepath.Join(dir, "signing.json"), filepath.Join(dir, "account.secret")
	keys := func(args ...string) (int, output) {
		t.Helper()
		var o output
		return Run(append([]string{"catalog", "keys"}, args...), o.console()), o
	}
	create := []string{"create", "--signing-keys-file", signing, "--account-secret-file", secret}
	if code, o := keys(create...); code != command.ExitDone {
		t.Fatalf("exit code %d: %s", code, o.err.String())
	}
	if _, err := account.ReadSecret(secret); err != nil {
		t.Error(err)
	}
	made, err := auth.ReadRing(signing)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{signing, secret} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	if code, o := keys(create...); code != command.ExitDone || strings.Count(o.out.String(), "exists, and stays as it is") != 2 {
		t.Errorf("again: exit code %d: %s%s", code, o.out.String(), o.err.String())
	}
	if code, o := keys("rotate", "--signing-keys-file", signing); code != command.ExitUsage || !strings.Contains(o.err.String(), "rotate them in 1") {
		t.Errorf("too early: exit code %d: %s", code, o.err.String())
	}
	old := made
	old.RotatedAt = time.Now().Add(-auth.RotatePause)
	if err := old.Replace(signing); err != nil {
		t.Fatal(err)
	}
	if code, o := keys("rotate", "--signing-keys-file", signing); code != command.ExitDone || !strings.HasPrefix(o.out.String(), made.Next.ID+" signs; ") {
		t.Errorf("exit code %d: %s%s", code, o.out.String(), o.err.String())
	}
	rotated, err := auth.ReadRing(signing)
	if err != nil || rotated.Current != made.Next || rotated.Previous != made.Current {
		t.Errorf("%+v after %+v, %v", rotated, made, err)
	}
	code, o := keys("list", "--signing-keys-file", signing, "-o", "json")
	for _, want := range []string{rotated.Current.ID, rotated.Next.ID, rotated.Previous.ID, `"current"`, `"next"`, `"previous"`} {
		if code != command.ExitDone || !strings.Contains(o.out.String(), want) {
			t.Errorf("exit code %d: %s lacks %s", code, o.out.String(), want)
		}
	}
	if strings.Contains(o.out.String(), rotated.Current.Secret) {
		t.Error("the list shows a key")
	}
	for want, args := range map[string][]string{
		"make it by sluice catalog keys create": {"list", "--signing-keys-file", filepath.Join(dir, "none")},
		"not the JSON of signing keys":          {"list", "--signing-keys-file", secret},
	} {
		if code, o := keys(args...); code != command.ExitUsage || !strings.Contains(o.err.String(), want) {
			t.Errorf("%v: exit code %d: %s, want %q", args, code, o.err.String(), want)
		}
	}
}
