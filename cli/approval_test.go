package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/auth"
)

// signers has a key, and makes tokens with it.
type signers struct {
	*hands

	dir string
}

func newSigners(t *testing.T, skus int64) *signers {
	t.Helper()
	s := &signers{newHands(t, skus), t.TempDir()}
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	s.flags["--token-key-file"] = filepath.Join(s.dir, "keys.json")
	if err := auth.WriteKeys(s.flags["--token-key-file"], key); err != nil {
		t.Fatal(err)
	}
	return s
}

// token is a file with a token of a user.
func (s *signers) token(name, user, role string, more ...string) (file string) {
	s.hand.t.Helper()
	file = filepath.Join(s.dir, name)
	token := s.run(append([]string{"token", "issue", "--user", user, "--role", role}, more...)...).want(command.ExitDone).out
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		s.hand.t.Fatal(err)
	}
	return file
}

// apply has a plan of more than one unit carried out.
func (s *signers) apply(more ...string) result {
	return s.run(append([]string{"reconcile", "--repair", "--apply", "--reason", "test", "--yes", "--repair-units-max", "1"}, more...)...)
}

// A large plan needs the approval of another admin, who approves that plan and no other, and an operator who proves who he is.
func TestRepairNeedsApproval(t *testing.T) {
	t.Parallel()
	s := newSigners(t, 2)
	defer s.stop()
	s.buyer(1, 2, 3)
	plan := s.plan(command.ExitDrift).Plan
	good := s.token("good", "7", "admin", "--plan", plan.Digest)
	me := s.token("me", "5", "admin")
	for _, c := range []struct {
		code int
		said string
		args []string
	}{
		{command.ExitRefused, "sluice token --role admin --user ID --plan " + plan.Digest, []string{"--operator-token-file", me}},
		{command.ExitUsage, "--operator-token-file (SLUICE_OPERATOR_TOKEN, SLUICE_OPERATOR_TOKEN_FILE) is missing", []string{"--approve-token-file", good, "--by", "5"}},
		{command.ExitUsage, "leave out --by", []string{"--approve-token-file", good, "--operator-token-file", me, "--by", "somebody else"}},
		{command.ExitUsage, "no such file", []string{"--approve-token-file", good, "--operator-token-file", filepath.Join(s.dir, "none")}},
		{command.ExitUsage, "no such file", []string{"--approve-token-file", filepath.Join(s.dir, "none"), "--operator-token-file", me}},
		{command.ExitRefused, "user 5 is service", []string{"--approve-token-file", good, "--operator-token-file", s.token("service", "5", "service")}},
		{command.ExitRefused, "operator-token-file: token refused", []string{"--approve-token-file", good, "--operator-token-file", good}},
		{command.ExitRefused, "cannot approve it too", []string{"--approve-token-file", s.token("own", "5", "admin", "--plan", plan.Digest), "--operator-token-file", me}},
		{command.ExitRefused, "another audience", []string{"--approve-token-file", s.token("access", "7", "admin"), "--operator-token-file", me}},
		{
			command.ExitRefused, "approves another plan",
			[]string{"--approve-token-file", s.token("other", "7", "admin", "--plan", strings.Repeat("0", 64)), "--operator-token-file", me},
		},
	} {
		s.apply(c.args...).want(c.code, c.said)
	}
	s.run("token", "issue", "--user", "7", "--role", "service", "--plan", plan.Digest).want(command.ExitUsage, "only an admin")
	for _, short := range []string{plan.Digest[:8], plan.Digest[:4] + "..." + plan.Digest[60:], strings.ToUpper(plan.Digest) + "A"} {
		s.run("token", "issue", "--user", "7", "--role", "admin", "--plan", short).want(command.ExitUsage, "--plan", "64 lower-case hexadecimal digits")
	}
	if n := s.rows("TRUE"); n != 0 {
		t.Errorf("%d steps were begun", n)
	}
	keys, err := auth.ReadKeys(s.flags["--token-key-file"])
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	verifier := auth.NewVerifier(keys, auth.VerifierConfig{Issuer: "sluice", Audience: "sluice", CacheMax: 10})
	if who, err := verifier.Verify([]byte(strings.TrimSpace(string(text))), time.Now()); err == nil {
		t.Errorf("an edge takes the approval for a token of %+v", who)
	}
	s.buyer(2, 2, 2)
	s.apply("--approve-token-file", good, "--operator-token-file", me).want(command.ExitRefused, "approves another plan")
	s.buyer(2, 2, 1)
	s.apply("--approve-token-file", good, "--operator-token-file", me).want(command.ExitDone, "done")
	if n := s.rows("approved_by = 7 AND operator = '5' AND outcome = 'done'"); n != 1 {
		t.Errorf("%d rows name who approved", n)
	}
	s.settled()

	s.buyer(1, 2, 3) // two units, which is no more than the limit
	s.run("reconcile", "--repair", "--apply", "--reason", "test", "--yes", "--repair-units-max", fmt.Sprint(plan.Units)).want(command.ExitDone, "done")
	s.settled()
}

// An approval is good for one run, also if the same difference comes again, and if two machines begin at once.
func TestApprovalIsUsedOnce(t *testing.T) {
	t.Parallel()
	s := newSigners(t, 1)
	defer s.stop()
	me := s.token("me", "5", "admin")
	s.buyer(1, 2, 3)
	digest := s.plan(command.ExitDrift).Plan.Digest
	approval := s.token("approval", "7", "admin", "--plan", digest)
	answers := atOnce(2, func(int) result { return s.apply("--approve-token-file", approval, "--operator-token-file", me) })
	did := 0
	for _, a := range answers {
		if a.code == command.ExitDone {
			did++
		} else if a.code != command.ExitRefused || !strings.Contains(a.err, "the approval has been used by admin 5") && !strings.Contains(a.err, "approves another plan") {
			t.Errorf("exit code %d: %s", a.code, a.err)
		}
	}
	if did == 0 || s.rows("TRUE") != 1 {
		t.Errorf("%d runs ended well, with %d steps", did, s.rows("TRUE"))
	}
	s.settled()

	s.buyer(1, 2, 3)
	if again := s.plan(command.ExitDrift).Plan.Digest; again != digest {
		t.Fatalf("the same plan has the digest %s, want %s", again, digest)
	}
	s.apply("--approve-token-file", approval, "--operator-token-file", me).want(command.ExitRefused, "the approval has been used by admin 5 at ", digest, "have that approved")
	if n := s.rows("round > 1"); n != 0 {
		t.Errorf("%d steps were begun", n)
	}
	s.apply("--approve-token-file", s.token("another", "7", "admin", "--plan", digest), "--operator-token-file", me).want(command.ExitDone, "done")
	var used int
	if err := s.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM repair_approvals WHERE operator_id = 5 AND approver_id = 7 AND plan = UNHEX(?)", digest).Scan(&used); err != nil || used != 2 {
		t.Errorf("%d approvals are kept as used, want 2: %v", used, err)
	}
	s.settled()
}
