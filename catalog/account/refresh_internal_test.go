package account

import (
	"cmp"
	"strings"
	"testing"
	"time"
)

func testSecret(t *testing.T, filled byte) *Secret {
	t.Helper()
	s, err := newSecret([]byte(strings.Repeat(string(rune(filled)), secretBytes)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRefreshTokensAreJudged(t *testing.T) {
	t.Parallel()
	s, from := testSecret(t, 'a'), newSeed()
	of := refreshToken{42, 7, 5}
	good := session{seed: from, generation: 5, state: StateActive}
	f := func(want verdict, edit func(*session, *refreshToken, *string)) {
		t.Helper()
		row, token := good, of
		text := ""
		edit(&row, &token, &text)
		if text == "" {
			text = s.refresh(token, from)
		}
		read, mac, ok := readRefresh(text)
		got := verdictRefuse
		if ok {
			got = s.judge(row, read, mac)
		}
		if got != want {
			t.Errorf("%+v of %+v: %v, want %v", token, row, got, want)
		}
	}
	f(verdictRotate, func(*session, *refreshToken, *string) {})
	f(verdictRepeat, func(row *session, _ *refreshToken, _ *string) { row.generation, row.age = 6, graceFor-1 })
	f(verdictReuse, func(row *session, _ *refreshToken, _ *string) { row.generation, row.age = 6, graceFor })
	f(verdictReuse, func(row *session, _ *refreshToken, _ *string) { row.generation, row.age = 7, 0 })
	f(verdictReuse, func(row *session, _ *refreshToken, _ *string) { row.generation, row.age = 1000, time.Hour })
	f(verdictRefuse, func(row *session, _ *refreshToken, _ *string) { row.generation = 4 }) // the database was set back
	f(verdictRefuse, func(row *session, _ *refreshToken, _ *string) { row.over = true })
	f(verdictRefuse, func(row *session, _ *refreshToken, _ *string) { row.generation, row.over = 9, true })
	f(verdictRefuse, func(row *session, _ *refreshToken, _ *string) { row.state = StateLocked })
	f(verdictRefuse, func(row *session, _ *refreshToken, _ *string) { row.state = StateErased })
	f(verdictRefuse, func(row *session, _ *refreshToken, _ *string) { row.seed = newSeed() }) // of another session
	f(verdictRefuse, func(row *session, _ *refreshToken, _ *string) { *row = session{} })
	genuine := s.refresh(of, from)
	for _, forged := range []string{
		testSecret(t, 'b').refresh(of, from), // by another shop
		s.refresh(refreshToken{43, 7, 5}, from)[:20] + genuine[20:], s.refresh(refreshToken{42, 8, 5}, from)[:30] + genuine[30:],
		s.refresh(refreshToken{42, 7, 4}, from)[:33] + genuine[33:],
		genuine + "A", genuine[:len(genuine)-1], genuine + "=", " " + genuine, strings.TrimPrefix(genuine, refreshPrefix), refreshPrefix, "", "srt_AAAA", strings.ToUpper(genuine),
		genuine[:len(genuine)-2] + "__",
	} {
		if forged == genuine {
			t.Fatalf("%s is no forgery", forged)
		}
		f(verdictRefuse, func(_ *session, _ *refreshToken, text *string) { *text = cmp.Or(forged, "none") })
	}
}

func TestCodesFollowFromAll(t *testing.T) {
	t.Parallel()
	s, from := testSecret(t, 'a'), newSeed()
	k := challengeKey{42, 7}
	mine := s.code(k, purposeRegister, from)
	if checkCode(mine) != nil || mine != s.code(k, purposeRegister, from) {
		t.Errorf("the code is %q", mine)
	}
	for what, other := range map[string]string{
		"purpose": s.code(k, purposeReset, from), "user": s.code(challengeKey{43, 7}, purposeRegister, from), "nonce": s.code(challengeKey{42, 8}, purposeRegister, from),
		"seed": s.code(k, purposeRegister, newSeed()), "secret": testSecret(t, 'b').code(k, purposeRegister, from),
	} {
		if other == mine {
			t.Errorf("with another %s the code is the same", what)
		}
	}
	c := &challenge{challengeKey: k, purpose: purposeRegister, seed: from}
	if !s.fits(c, mine) {
		t.Error("the code does not fit")
	}
	c.decoy = true
	if s.fits(c, mine) {
		t.Error("a code fits a decoy")
	}
	for _, text := range []string{"", "1234567", "123456789", "1234567a", "１２３４５６７８", "12345 78", "-1234567", "+1234567", "1234567\n"} {
		if checkCode(text) == nil {
			t.Errorf("%q is a code", text)
		}
	}
}

func TestHandles(t *testing.T) {
	t.Parallel()
	s := testSecret(t, 'a')
	k := challengeKey{42, 7}
	handle := s.handle(k)
	if back, ok := s.ofHandle(handle); !ok || back != k || len(handle) != 22 {
		t.Errorf("%q is %+v, %v", handle, back, ok)
	}
	for _, other := range []string{"", handle[:21], handle + "A", handle[:21] + "B", strings.Repeat("A", 22), testSecret(t, 'b').handle(k)} {
		if back, ok := s.ofHandle(other); ok && back == k {
			t.Errorf("%q is the same", other)
		}
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	s := testSecret(t, 'a')
	of := credential{user: 42, since: 7}
	mine := s.device(of)
	if !s.knows(of, mine) || !s.knows(of, s.device(of)) {
		t.Error("a device of the user is not known")
	}
	others := []string{s.device(credential{user: 43, since: 7}), s.device(credential{user: 42, since: 8}), s.device(credential{user: 42}), testSecret(t, 'b').device(of)}
	for _, other := range append(others, "", "s", "sdt_", "sdt_AAAA", mine+"A", mine[:len(mine)-1], "srt_"+mine[4:]) {
		if s.knows(of, other) {
			t.Errorf("%q is known", other)
		}
	}
}

func TestWhatIsSealedOpensNowhereElse(t *testing.T) {
	t.Parallel()
	s := testSecret(t, 'a')
	sealed := s.seal(42, "email", []byte("mia@example.org"))
	if strings.Contains(string(sealed), "mia") {
		t.Errorf("%q shows the value", sealed)
	}
	if value, err := s.open(42, "email", sealed); err != nil || string(value) != "mia@example.org" {
		t.Errorf("%q, %v", value, err)
	}
	for what, open := range map[string]func() ([]byte, error){
		"another user":    func() ([]byte, error) { return s.open(43, "email", sealed) },
		"another purpose": func() ([]byte, error) { return s.open(42, "challenge", sealed) },
		"another secret":  func() ([]byte, error) { return testSecret(t, 'b').open(42, "email", sealed) },
		"a damage":        func() ([]byte, error) { return s.open(42, "email", sealed[:len(sealed)-1]) },
		"nothing":         func() ([]byte, error) { return s.open(42, "email", nil) },
	} {
		if _, err := open(); err == nil {
			t.Errorf("it opens for %s", what)
		}
	}
}
