package password_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"sluice/catalog/account/internal/password"
	"sluice/core/problem"
)

func read(t *testing.T, text string) password.Password {
	t.Helper()
	p, err := password.Read(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return p
}

func TestOneCharacterInSeveralWays(t *testing.T) {
	t.Parallel()
	for _, same := range [][2]string{
		{"caf\u00e9 am See", "cafe\u0301 am See"},                      // composed, or with a combining accent
		{"zwei Worte", "zwei\u00a0Worte"},                              // any space is a space
		{"drei\u3000Worte", "drei Worte"},                              // that of CJK too
		{"\uac00\ub098\ub2e4", "\u1100\u1161\u1102\u1161\u1103\u1161"}, // Hangul, in syllables or letters
	} {
		if read(t, same[0]) != read(t, same[1]) {
			t.Errorf("%+q and %+q are two passwords", same[0], same[1])
		}
	}
	for _, other := range [][2]string{
		{"Passwort", "passwort"}, {"passwort", "passwort "}, {" passwort", "passwort"}, {"pаsswort", "passwort"}, {"ﬁnden", "finden"}, {"１２３", "123"},
	} {
		if read(t, other[0]) == read(t, other[1]) {
			t.Errorf("%+q and %+q are one password", other[0], other[1])
		}
	}
}

func TestFormsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "tab\tulator", "zero\x00byte", "line\nfeed", "bad\xffutf8", "del\x7f", strings.Repeat("x", 129), strings.Repeat("€", 129), strings.Repeat("x", 100_000),
	} {
		if _, err := password.Read(text); err == nil {
			t.Errorf("%.20q is taken", text)
		} else if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("the error quotes %.20q", text)
		}
	}
	for _, text := range []string{"x", strings.Repeat("x", 128), strings.Repeat("😀", 128)} {
		read(t, text)
	}
}

func TestNewPasswords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"password1": password.ErrCommon, "PASSWORD1": password.ErrCommon, "PassWord1": password.ErrCommon, "12345678": password.ErrCommon, "trustno1": password.ErrCommon,
		"Mia.Muster@Example.ORG": password.ErrAbout, "mia.muster": password.ErrAbout,
		"correct horse battery staple": nil, "ÄÖÜäöüß8": nil, "密码密码密码密码": nil, "aaaaaaaab": nil,
	} {
		if err := read(t, text).Check("mia.muster@example.org", "mia.muster"); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{"x", "1234567", "密码密码密码密"} {
		if read(t, text).Check() == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestPasswordsShowNothing(t *testing.T) {
	t.Parallel()
	p := read(t, "hunter2 hunter2")
	for _, shown := range []string{fmt.Sprint(p), fmt.Sprintf("%+v", p), fmt.Sprintf("%#v", p), p.String(), fmt.Sprintf("%q", p)} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("shown as %s", shown)
		}
	}
}

func TestHashes(t *testing.T) {
	t.Parallel()
	h, ctx := password.NewHasher(2), t.Context()
	mine := read(t, "correct horse")
	hash, err := h.Hash(ctx, mine, password.Salt())
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || len(hash) > 128 {
		t.Fatalf("%q, %v", hash, err)
	}
	again, err := h.Hash(ctx, mine, password.Salt())
	if err != nil || again == hash {
		t.Errorf("two hashes of one password are the same: %v", err)
	}
	salt := password.Salt()
	first, err1 := h.Hash(ctx, mine, salt)
	second, err2 := h.Hash(ctx, mine, salt)
	if first != second || errors.Join(err1, err2) != nil {
		t.Errorf("with one salt: %q and %q, %v, %v", first, second, err1, err2)
	}
	for _, c := range []struct {
		text, hash string
		want       bool
	}{
		{"correct horse", hash, true},
		{"correct\u00a0horse", hash, true},
		{"correct horsf", hash, false},
		{"Correct horse", hash, false},
		{"correct horse", again, true},
		{"correct horse", "", false},
	} {
		if ok, err := h.Verify(ctx, read(t, c.text), c.hash); ok != c.want || err != nil {
			t.Errorf("%q against %q: %v, %v", c.text, c.hash, ok, err)
		}
	}
	if password.Old(hash) || !password.Old(strings.Replace(hash, "m=19456", "m=4096", 1)) {
		t.Error("a hash of another cost is not told")
	}
	for _, bad := range []string{
		"x", "plain", strings.Replace(hash, "argon2id", "argon2i", 1), strings.Replace(hash, "m=19456", "m=4194304", 1), strings.Replace(hash, "t=2", "t=1000000", 1),
		strings.Replace(hash, "p=1", "p=0", 1), strings.Replace(hash, "v=19", "v=16", 1), hash[:len(hash)-1], hash + "$", hash + " ",
	} {
		if ok, err := h.Verify(ctx, mine, bad); ok || err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v, %v", bad, ok, err)
		}
	}
}

// Hashing takes no more memory than was given, and who would wait too long is refused at once.
func TestHashingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := password.NewHasher(1)
		release := h.Block()
		ctx, cancel := context.WithCancel(t.Context())
		mine := read(t, "correct horse")
		const waiting = 8
		refused := make(chan error, waiting)
		for range waiting {
			go func() {
				_, err := h.Verify(ctx, mine, "")
				refused <- err
			}()
		}
		synctest.Wait() // all of them wait
		overloaded := func(err error) {
			t.Helper()
			var p *problem.Problem
			if !errors.As(err, &p) || p.Kind != problem.Overloaded || p.Wait() < 1 {
				t.Errorf("%v, want overloaded", err)
			}
		}
		_, err := h.Verify(ctx, mine, "")
		overloaded(err)
		cancel()
		for range waiting {
			overloaded(<-refused)
		}
		release()
		if _, err := h.Verify(t.Context(), mine, ""); err != nil {
			t.Errorf("once there is room: %v", err)
		}
	})
}
