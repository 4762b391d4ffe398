package account_test

import (
	"database/sql"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/account"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/shard"
)

// ended are the sessions that events say have ended.
func (a *accounts) ended() (all []ids.Session) {
	a.t.Helper()
	for _, p := range a.databases.All(shard.Users) {
		err := db.Rows(a.t.Context(), p.In(p.Writer()), func(row *sql.Rows) error {
			var data []byte
			if err := row.Scan(&data); err != nil {
				return err
			}
			var told struct {
				Sessions []ids.Session `json:"session_ids"`
			}
			err := json.Unmarshal(data, &told)
			all = append(all, told.Sessions...)
			return err
		}, "SELECT data FROM account_outbox__ WHERE topic = 'sluice.users.v1' AND type = 'sessions_ended' ORDER BY id")
		if err != nil {
			a.t.Fatal(err)
		}
	}
	return all
}

func (a *accounts) live(user ids.User) (all []ids.Session) {
	a.t.Helper()
	for _, s := range must(a.Sessions(a.t.Context(), user))(a.t) {
		all = append(all, s.ID)
	}
	return all
}

func TestRefreshTokensRotate(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	first := must(a.signIn(mia, good, "s"))(t)
	second := must(a.Refresh(ctx, first.Refresh))(t)
	if lost := must(a.Refresh(ctx, first.Refresh))(t); lost.Refresh != second.Refresh {
		t.Errorf("a lost answer is answered by %s, want %s", lost.Refresh, second.Refresh)
	}
	third := must(a.Refresh(ctx, second.Refresh))(t)
	if len(a.ended()) > 0 {
		t.Fatalf("%v ended", a.ended())
	}
	// Two have the first token: its second use ends the family, also for who has the right one.
	_, err := a.Refresh(ctx, first.Refresh)
	refused(t, "an old token", err, "unauthorized")
	if got := a.ended(); !slices.Equal(got, []ids.Session{first.Session}) {
		t.Errorf("%v ended", got)
	}
	_, err = a.Refresh(ctx, third.Refresh)
	refused(t, "the right token of a family that ended", err, "unauthorized")

	first = must(a.signIn(mia, good, "after the grace"))(t)
	second = must(a.Refresh(ctx, first.Refresh))(t)
	a.exec(user.ID, "UPDATE sessions__ SET rotated_at = rotated_at - INTERVAL 30 SECOND WHERE user_id = ?", user.ID)
	_, err = a.Refresh(ctx, first.Refresh)
	refused(t, "the last token after a while", err, "unauthorized")
	_, err = a.Refresh(ctx, second.Refresh)
	refused(t, "its family", err, "unauthorized")

	first = must(a.signIn(mia, good, "locked"))(t)
	a.exec(user.ID, "UPDATE users__ SET state = 'locked' WHERE user_id = ?", user.ID)
	_, err = a.Refresh(ctx, first.Refresh)
	refused(t, "a locked user", err, "unauthorized")
	_, err = a.signIn(mia, good, "locked too")
	refused(t, "a locked user", err, "user_locked")
	_, err = a.signIn(mia, another, "locked, wrong")
	refused(t, "a locked user with a wrong password", err, "credentials_refused")
	a.exec(user.ID, "UPDATE users__ SET state = 'active' WHERE user_id = ?", user.ID)
	a.exec(user.ID, "UPDATE sessions__ SET ends_at = NOW(3) WHERE user_id = ?", user.ID)
	_, err = a.Refresh(ctx, first.Refresh)
	refused(t, "a session whose time is over", err, "unauthorized")
}

// Who makes up a token ends nobody's session, whatever is known of it.
func TestForgedRefreshTokens(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	eve := a.member("eve@example.org")
	mine, hers := must(a.signIn(mia, good, "s"))(t), must(a.signIn("eve@example.org", good, "s"))(t)
	next := must(a.Refresh(ctx, mine.Refresh))(t)
	raw := func(token string) []byte {
		return must(base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "srt_")))(t)
	}
	text := func(held []byte) string { return "srt_" + base64.RawURLEncoding.EncodeToString(held) }
	of, other := raw(mine.Refresh), raw(hers.Refresh)
	for i := range of {
		forged := slices.Clone(of)
		forged[i] ^= 1
		_, err := a.Refresh(ctx, text(forged))
		refused(t, fmt.Sprintf("with byte %d changed", i), err, "unauthorized")
	}
	for what, forged := range map[string]string{
		"of another user": text(append(slices.Clone(other[:8]), of[8:]...)), "with another mac": text(append(slices.Clone(of[:20]), other[20:]...)),
		"of another session": text(slices.Concat(of[:8], other[8:16], of[16:])), "an access token": mine.Access, "a device token": mine.Device, "nothing": "",
	} {
		_, err := a.Refresh(ctx, forged)
		refused(t, what, err, "unauthorized")
	}
	if got := a.ended(); len(got) > 0 {
		t.Errorf("%v ended", got)
	}
	must(a.Refresh(ctx, next.Refresh))(t)
	must(a.Refresh(ctx, hers.Refresh))(t)
	if len(a.live(user.ID)) != 1 || len(a.live(eve.ID)) != 1 {
		t.Error("sessions are gone")
	}
}

// Of several requests with one token, one rotates it, and all get the same next one.
func TestRefreshAtOnce(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	a.member(mia)
	first := must(a.signIn(mia, good, "s"))(t)
	got := make([]string, 20)
	var group errgroup.Group
	for i := range got {
		group.Go(func() error {
			tokens, err := a.Refresh(t.Context(), first.Refresh)
			got[i] = tokens.Refresh
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if all := slices.Compact(slices.Sorted(slices.Values(got))); len(all) != 1 || all[0] == first.Refresh {
		t.Errorf("%d different tokens", len(all))
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	eve := a.member("eve@example.org")
	hers := must(a.signIn("eve@example.org", good, "e"))(t)
	var mine []account.Tokens
	for i := range 4 {
		mine = append(mine, must(a.signIn(mia, good, fmt.Sprint(i)))(t))
	}
	refused(t, "another user's session", a.EndSession(ctx, user.ID, hers.Session), "unknown_session")
	refused(t, "a session that there is not", a.EndSession(ctx, user.ID, 12345), "unknown_session")
	for range 2 {
		if err := a.EndSession(ctx, user.ID, mine[0].Session); err != nil {
			t.Error(err)
		}
	}
	_, err := a.Refresh(ctx, mine[0].Refresh)
	refused(t, "a session that was ended", err, "unauthorized")
	if err := a.EndOtherSessions(ctx, user.ID, mine[1].Session); err != nil {
		t.Error(err)
	}
	if got := a.live(user.ID); !slices.Equal(got, []ids.Session{mine[1].Session}) {
		t.Errorf("%v are left", got)
	}
	if got := a.ended(); len(got) != 3 || slices.Contains(got, hers.Session) || got[0] != mine[0].Session {
		t.Errorf("%v ended", got)
	}
	if len(a.live(eve.ID)) != 1 {
		t.Error("another user's session ended")
	}
}

// With too many sessions, the one unused for longest ends.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	user := a.member(mia)
	var all []ids.Session
	for i := range 23 {
		a.now.Add(int64(time.Hour)) // the limit of tries
		all = append(all, must(a.signIn(mia, good, fmt.Sprint(i)))(t).Session)
		a.exec(user.ID, "UPDATE sessions__ SET rotated_at = rotated_at - INTERVAL 1 MINUTE WHERE user_id = ?", user.ID)
	}
	got := a.live(user.ID)
	slices.Reverse(got)
	if !slices.Equal(got, all[3:]) || !slices.Equal(a.ended(), all[:3]) {
		t.Errorf("%d live, %v ended, want the first 3 of %v", len(got), a.ended(), all)
	}
}

func TestPasswordsChange(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	mine, other := must(a.signIn(mia, good, "1"))(t), must(a.signIn(mia, good, "2"))(t)
	change := func(current, next string) error {
		return a.ChangePassword(ctx, from("c"), user.ID, mine.Session, current, next)
	}
	refused(t, "a wrong password", change(another, "a third password"), "credentials_refused")
	for _, weak := range []string{"short", "password1", mia, "MIA@example.org", "tab\tulator"} {
		refused(t, weak, change(good, weak), "password_refused")
	}
	for range 2 { // a repetition finds it changed
		if err := change(good, another); err != nil {
			t.Fatal(err)
		}
	}
	if got := a.live(user.ID); !slices.Equal(got, []ids.Session{mine.Session}) || !slices.Equal(a.ended(), []ids.Session{other.Session}) {
		t.Errorf("%v are left, %v ended", got, a.ended())
	}
	if m := a.last("password_changed"); m.To != mia || m.User != user.ID || m.Values["at"] == "" {
		t.Errorf("%+v", m)
	}
	_, err := a.signIn(mia, good, "3")
	refused(t, "the old password", err, "credentials_refused")
	must(a.signIn(mia, another, "4"))(t)
	refused(t, "a user without a password", a.ChangePassword(ctx, from("c"), 4711, 0, good, another), "wrong_state")
}

func TestPasswordsAreReset(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	mine := must(a.signIn(mia, good, "1"))(t)
	asked := must(a.AskReset(ctx, from("ask"), mia))(t)
	if again := must(a.AskReset(ctx, from("ask"), "MIA@example.org"))(t); again != asked {
		t.Errorf("%+v and %+v", asked, again)
	}
	code := a.last("reset_password").Values["code"]
	for _, weak := range []string{"short", "password1", mia} {
		_, err := a.Reset(ctx, from("r"), asked.Challenge, code, weak)
		refused(t, weak, err, "password_refused")
	}
	device := must(a.Reset(ctx, from("r"), asked.Challenge, code, another))(t)
	must(a.Reset(ctx, from("r"), asked.Challenge, code, another))(t) // a repetition changes nothing
	_, err := a.Reset(ctx, from("r"), asked.Challenge, code, "a third password")
	refused(t, "the key with another password", err, "mismatch")
	_, err = a.Reset(ctx, from("other"), asked.Challenge, code, "a third password")
	refused(t, "a code that was used", err, kindCode)
	if len(a.live(user.ID)) > 0 || !slices.Equal(a.ended(), []ids.Session{mine.Session}) {
		t.Errorf("%v are left, %v ended", a.live(user.ID), a.ended())
	}
	_, err = a.signIn(mia, good, "2")
	refused(t, "the old password", err, "credentials_refused")
	must(a.SignIn(ctx, from("3"), account.SignIn{Email: mia, Password: another, Device: device}))(t)
}

// Who tries passwords is slowed down, and keeps back nobody who has a known device, or who resets the password.
func TestNobodyLocksAnAccount(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	a.member(mia)
	mine := must(a.signIn(mia, good, "mine"))(t)
	guess := func(address netip.Addr, device string) error {
		_, err := a.SignIn(ctx, account.Caller{Address: address, Key: "g"}, account.SignIn{Email: mia, Password: another, Device: device})
		return err
	}
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i / 250), byte(i % 250)}) }
	for range 10 {
		refused(t, "a guess", guess(at(0), ""), "credentials_refused")
	}
	refused(t, "many guesses from an address", guess(at(0), ""), "rate_limited")
	limited := 0
	for i := range 12 {
		for range 10 {
			if err := guess(at(i+1), ""); strings.HasPrefix(err.Error(), "rate_limited") {
				limited++
			}
		}
	}
	if limited < 20 {
		t.Errorf("of 120 guesses from many addresses %d are limited", limited)
	}
	_, err := a.SignIn(ctx, account.Caller{Address: at(500), Key: "new"}, account.SignIn{Email: mia, Password: good})
	refused(t, "the owner at a new device, meanwhile", err, "rate_limited")
	must(a.SignIn(ctx, account.Caller{Address: at(501), Key: "known"}, account.SignIn{Email: mia, Password: good, Device: mine.Device}))(t)
	asked := must(a.AskReset(ctx, from("ask"), mia))(t)
	device := must(a.Reset(ctx, from("reset"), asked.Challenge, a.last("reset_password").Values["code"], another))(t)
	must(a.SignIn(ctx, account.Caller{Address: at(502), Key: "reset"}, account.SignIn{Email: mia, Password: another, Device: device}))(t)
	a.now.Add(int64(time.Hour))
	must(a.SignIn(ctx, account.Caller{Address: at(503), Key: "later"}, account.SignIn{Email: mia, Password: another}))(t)
}

// Who asks for messages to somebody's address keeps back nobody: not alone, and not from everywhere whoever has a known device.
func TestNobodyKeepsAnAccountFromItsMessages(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	a.member(mia)
	mine := must(a.signIn(mia, good, "mine"))(t)
	ask := func(from int, device string) error {
		address := netip.AddrFrom4([4]byte{10, 2, byte(from / 250), byte(from % 250)})
		_, err := a.AskReset(ctx, account.Caller{Address: address, Key: fmt.Sprint(a.now.Load()), Device: device}, mia)
		return err
	}
	for range 5 {
		if err := ask(0, ""); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 { // nor do requests that are refused
		refused(t, "more messages that an address asks for", ask(0, ""), "rate_limited")
	}
	if err := ask(1, ""); err != nil {
		t.Errorf("the owner, meanwhile: %v", err)
	}
	for i := range 50 {
		for range 5 {
			_ = ask(i+2, "")
		}
	}
	refused(t, "the owner at a new device, while many ask", ask(100, ""), "rate_limited")
	if err := ask(100, mine.Device); err != nil {
		t.Errorf("the owner at a known device, meanwhile: %v", err)
	}
	refused(t, "a stranger with some device token", ask(101, "sdt_AAAA"), "rate_limited")
	refused(t, "a device token that is none", ask(102, strings.Repeat("x", 201)), "malformed")
	a.now.Add(int64(24 * time.Hour))
	if err := ask(100, ""); err != nil {
		t.Errorf("a day later: %v", err)
	}
}
