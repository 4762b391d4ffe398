package seller_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/account"
	"sluice/catalog/assess"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/web"
	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/lifecycle"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

// others are accounts and messages, as far as sellers ask for them.
type others struct {
	mu     sync.Mutex
	emails map[ids.User]account.Email
	sent   []seller.Message
	told   []string // template and user
	full   error    // that no message may be sent
	left   map[ids.User]bool
}

// Granted implements seller.Accounts: everybody is of support who has not left.
func (o *others) Granted(_ context.Context, user int64) (web.Roles, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.left[ids.User(user)] {
		return 0, nil
	}
	return web.RolesOf(web.RoleSupport), nil
}

// HasEmail implements seller.Accounts.
func (o *others) HasEmail(_ context.Context, user ids.User, address account.Email) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.emails[user].Key() == address.Key(), nil
}

// Facts implements seller.Accounts.
func (o *others) Facts(_ context.Context, user ids.User) (f assess.Facts, err error) {
	f.Number(assess.AccountAge, int64(user))
	return f, nil
}

// Tell implements seller.Accounts.
func (o *others) Tell(_ context.Context, user ids.User, n account.Notice) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = append(o.told, fmt.Sprintf("%s %d", n.Template, user))
	return nil
}

type messenger struct{ *others }

// Allow implements seller.Messenger.
func (m messenger) Allow(context.Context, string, netip.Addr) error { return m.full }

// Add implements seller.Messenger.
func (m messenger) Add(_ context.Context, _ *sql.Tx, _ place.Place, of seller.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.ContainsFunc(m.sent, func(s seller.Message) bool { return s.Event == of.Event }) {
		m.sent = append(m.sent, of)
	}
	return nil
}

// work does the tasks of sellers until none is left.
func (s *sellers) work() {
	s.t.Helper()
	worker := task.NewWorker(task.Config{
		Owner: "seller", Places: s.databases.All(shard.Values), Handlers: s.Work().Tasks, Every: 20 * time.Millisecond,
		Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan struct{})
	go func() { worker.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	err := lifecycle.Poll(ctx, 10*time.Millisecond, func() error {
		left := 0
		for _, p := range s.databases.All(shard.Values) {
			var here int
			if err := p.In(p.Writer()).QueryRowContext(ctx, "SELECT COUNT(*) FROM seller_tasks__").Scan(&here); err != nil {
				return err
			}
			left += here
		}
		if left > 0 {
			return fmt.Errorf("%d tasks are left", left)
		}
		return nil
	}, func(error) bool { return false })
	if err != nil {
		s.t.Fatal(err)
	}
}

// exec executes a statement in the place of a seller.
func (s *sellers) exec(of ids.Seller, statement string, values ...any) {
	s.t.Helper()
	p := s.databases.At(shard.OfValue(of.String()))
	if _, err := p.In(p.Writer()).ExecContext(s.t.Context(), statement, values...); err != nil {
		s.t.Fatal(err)
	}
}

// invite invites an address, and returns the invitation and its code.
func (s *sellers) invite(of ids.Seller, by ids.User, email, role string) (seller.Invitation, string) {
	s.t.Helper()
	i, err := s.Invite(s.t.Context(), s.by(by), of, seller.Invited{Email: account.Email(email), Locale: "de"}, role)
	if err != nil {
		s.t.Fatal(err)
	}
	s.work()
	s.others.mu.Lock()
	defer s.others.mu.Unlock()
	at := slices.IndexFunc(s.others.sent, func(m seller.Message) bool { return m.Event == "invitation-"+i.ID.String() })
	if at < 0 {
		s.t.Fatalf("%s is not among %+v", i.ID, s.others.sent)
	}
	m := s.others.sent[at]
	if m.To != email || m.Locale != "de" || m.Seller != application.LegalName || m.Within != 7*24*time.Hour {
		s.t.Errorf("sent: %+v", m)
	}
	return i, m.Code
}

// sweep does what is done at times.
func (s *sellers) sweep() {
	s.t.Helper()
	for _, p := range s.databases.All(shard.Values) {
		for _, of := range s.Work().Times {
			if err := of.Do(s.t.Context(), task.Task{Place: p}); err != nil {
				s.t.Error(err)
			}
		}
	}
}

// opened is a seller that has opened, of an owner.
func (s *sellers) opened(owner ids.User) ids.Seller {
	s.t.Helper()
	id := s.apply(owner)
	s.open(id)
	return id
}

// hire makes a user who has an address of its own one of the people of a seller.
func (s *sellers) hire(of ids.Seller, by, user ids.User, role string) {
	s.t.Helper()
	email := fmt.Sprintf("user%d@example.org", user)
	s.others.mu.Lock()
	s.others.emails[user] = account.Email(email)
	s.others.mu.Unlock()
	_, code := s.invite(of, by, email, role)
	if m, err := s.Join(s.t.Context(), s.by(user), code); err != nil || m.Role != role || m.ID != of {
		s.t.Fatal(m, err)
	}
}

// people are those of a seller, as one of them sees them.
func (s *sellers) people(of ids.Seller, by ids.User) string {
	s.t.Helper()
	all, err := s.Members(s.t.Context(), seller.Reader{User: by}, of)
	if err != nil {
		s.t.Fatal(err)
	}
	var words []string
	for _, m := range all {
		words = append(words, fmt.Sprint(m.User, " ", m.Role))
	}
	return strings.Join(words, ", ")
}

// refused compares the code of a refusal.
func refused(t *testing.T, what string, err error, code string) {
	t.Helper()
	if codeOf(err) != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// TestInvitationCountsOnce accepts an invitation, by the user whom it is for, while it counts.
func TestInvitationCountsOnce(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	waiting := s.apply(1)
	to := seller.Invited{Email: "Kanarienvogel@example.org", Locale: "de"}
	_, err := s.Invite(ctx, s.by(1), waiting, to, "member")
	refused(t, "an invitation to a seller that has not opened", err, "wrong_state")
	id := s.opened(1)
	i, code := s.invite(id, 1, string(to.Email), "member")
	_, err = s.Invite(ctx, s.by(1), id, seller.Invited{Email: "kanarienVOGEL@example.org", Locale: "de"}, "owner")
	refused(t, "a second invitation of an address", err, "wrong_state")
	if all, err := s.Invitations(ctx, 1, id); err != nil || len(all) != 1 || all[0].ID != i.ID || all[0].Email != to.Email || all[0].Role != "member" || all[0].InvitedBy != 1 {
		t.Errorf("listed: %+v, %v", all, err)
	}

	s.others.emails[2], s.others.emails[3] = "other@example.org", to.Email
	_, err = s.Join(ctx, s.by(2), code)
	refused(t, "somebody else", err, "invitation_refused")
	for n := range len(code) { // no character of it can be another one
		other := code[:n] + string(map[bool]byte{true: 'A', false: 'B'}[code[n] != 'A']) + code[n+1:]
		if _, err := s.Join(ctx, s.by(3), other); codeOf(err) != "invitation_refused" {
			t.Errorf("%s instead of %s: %v", other, code, err)
		}
	}
	by := s.by(3)
	for range 2 {
		if m, err := s.Join(ctx, by, code); err != nil || m.ID != id || m.Role != "member" || m.State != seller.StateOpen {
			t.Errorf("joined: %+v, %v", m, err)
		}
	}
	_, err = s.Join(ctx, s.by(3), code)
	refused(t, "a second time", err, "invitation_refused")
	refused(t, "withdrawal of what was accepted", s.Withdraw(ctx, s.by(1), id, i.ID), "wrong_state")
	if got := s.people(id, 3); got != "1 owner, 3 member" {
		t.Errorf("the people are %s", got)
	}
	_, again := s.invite(id, 1, string(to.Email), "owner")
	_, err = s.Join(ctx, s.by(3), again)
	refused(t, "a member", err, "wrong_state")

	i, code = s.invite(id, 1, "late@example.org", "member")
	s.others.emails[4] = "late@example.org"
	s.exec(id, "UPDATE seller_invitations__ SET ends_at = NOW(3) WHERE invitation_id = ?", i.ID)
	_, err = s.Join(ctx, s.by(4), code)
	refused(t, "when its time is over", err, "invitation_refused")
	s.sweep()
	i, code = s.invite(id, 1, "late@example.org", "member") // the address is free again
	for range 2 {
		if err := s.Withdraw(ctx, s.by(1), id, i.ID); err != nil {
			t.Error(err)
		}
	}
	_, err = s.Join(ctx, s.by(4), code)
	refused(t, "a withdrawn one", err, "invitation_refused")
	refused(t, "withdrawal of none", s.Withdraw(ctx, s.by(1), id, 1), "unknown_invitation")
	s.work()
	if !slices.Contains(s.others.told, "member_joined 1") {
		t.Errorf("told: %v", s.others.told)
	}
	s.lacks("anarienVOGEL@")
	s.lacks("anarienvogel@")
	s.lacks(code)
}

// TestOneOfManyJoins: who accepts an invitation many times at once becomes a member once.
func TestOneOfManyJoins(t *testing.T) {
	t.Parallel()
	s := newSellers(t)
	id := s.opened(1)
	s.others.emails[2] = "two@example.org"
	_, code := s.invite(id, 1, "two@example.org", "member")
	var joined atomic.Int64
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			_, err := s.Join(t.Context(), s.by(2), code)
			if err == nil {
				joined.Add(1)
			} else if codeOf(err) != "invitation_refused" {
				return err
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil || joined.Load() != 1 {
		t.Errorf("%d joined, %v", joined.Load(), err)
	}
}

// TestLastOwnerStays: owners who leave at once leave one behind, whoever it is.
func TestLastOwnerStays(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	id := s.opened(1)
	refused(t, "the only owner", s.Remove(ctx, s.by(1), id, 1), "wrong_state")
	owners := []ids.User{1, 2, 3, 4}
	for _, user := range owners[1:] {
		s.hire(id, 1, user, "owner")
	}
	s.hire(id, 1, 5, "member")
	var left atomic.Int64
	var group errgroup.Group
	for _, user := range owners {
		group.Go(func() error {
			err := s.Remove(ctx, s.by(user), id, user)
			if err == nil {
				left.Add(1)
			} else if codeOf(err) != "wrong_state" {
				return err
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil || left.Load() != 3 || strings.Count(s.people(id, 5), "owner") != 1 {
		t.Errorf("%d owners left, %v, and there are %s", left.Load(), err, s.people(id, 5))
	}
}

// TestWhoIsRemovedIsGone: with the rights, and with the invitations that wait.
func TestWhoIsRemovedIsGone(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	id := s.opened(1)
	s.hire(id, 1, 2, "owner")
	s.hire(id, 1, 3, "member")
	_, code := s.invite(id, 2, "friend@example.org", "owner")
	s.others.emails[9] = "friend@example.org"
	refused(t, "a member removes an owner", s.Remove(ctx, s.by(3), id, 1), "forbidden")
	refused(t, "removal of nobody", s.Remove(ctx, s.by(1), id, 77), "unknown_member")
	by := s.by(1)
	for range 2 {
		if err := s.Remove(ctx, by, id, 2); err != nil {
			t.Error(err)
		}
	}
	_, err := s.Members(ctx, seller.Reader{User: 2}, id)
	refused(t, "who was removed", err, "unknown_seller")
	_, err = s.Join(ctx, s.by(9), code)
	refused(t, "whom that user has invited", err, "invitation_refused")
	if err := s.Remove(ctx, s.by(3), id, 3); err != nil { // leaves
		t.Error(err)
	}
	s.work()
	if !slices.Contains(s.others.told, "member_removed 2") || slices.Contains(s.others.told, "member_removed 3") {
		t.Errorf("told: %v", s.others.told)
	}
	acts, next, err := s.Acts(ctx, seller.Reader{User: 1}, id, 0, 100)
	var words []string
	for _, a := range acts {
		words = append(words, strings.TrimSpace(a.Act+" "+a.Role))
	}
	const want = "leave none, remove none, invite owner, join member, invite member, join owner, invite owner"
	if got := strings.Join(words, ", "); err != nil || next != 0 || got != want {
		t.Errorf("acts: %s, %v, want %s", got, err, want)
	}
	var pages []string
	for before := int64(0); ; {
		page, next, err := s.Acts(ctx, seller.Reader{User: 1}, id, before, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page {
			pages = append(pages, strings.TrimSpace(a.Act+" "+a.Role))
		}
		if before = next; next == 0 {
			break
		}
	}
	if got := strings.Join(pages, ", "); got != want {
		t.Errorf("by pages: %s", got)
	}
	if got := s.events(id); got != "1 owner, 2 owner, 3 member, 2 none, 3 none" {
		t.Errorf("the events tell of %s", got)
	}
}

// events are those about the people of a seller.
func (s *sellers) events(of ids.Seller) string {
	s.t.Helper()
	p := s.databases.At(shard.OfValue(of.String()))
	var words []string
	err := db.Rows(s.t.Context(), p.In(p.Writer()), func(row *sql.Rows) error {
		var user, role string
		err := row.Scan(&user, &role)
		words = append(words, user+" "+role)
		return err
	}, "SELECT JSON_VALUE(CONVERT(data USING utf8mb4), '$.user_id'), JSON_VALUE(CONVERT(data USING utf8mb4), '$.role') FROM seller_outbox__ WHERE type = 'seller_member_set' AND aggregate_id = ? ORDER BY version", of.String())
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Join(words, ", ")
}

// TestPeopleAreBounded: a seller sends no more invitations than it could need.
func TestPeopleAreBounded(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	id := s.opened(1)
	invite := func(n int) error {
		_, err := s.Invite(ctx, s.by(1), id, seller.Invited{Email: account.Email(fmt.Sprintf("n%d@example.org", n)), Locale: "de"}, "member")
		return err
	}
	for n := range 20 {
		if err := invite(n); err != nil {
			t.Fatal(n, err)
		}
	}
	refused(t, "one more that waits", invite(20), "wrong_state")
	withdraw := func() {
		s.exec(id, "UPDATE seller_invitations__ SET state = 'withdrawn', personal = NULL, address_index = NULL WHERE seller_id = ? AND state = 'waiting'", id)
	}
	withdraw()
	for n := range 30 {
		if n == 20 {
			withdraw()
		}
		if err := invite(n); err != nil {
			t.Fatal(n, err)
		}
	}
	refused(t, "one more within a day", invite(50), "wrong_state")
	s.exec(id, "UPDATE seller_invitations__ SET made_at = made_at - INTERVAL 1 DAY WHERE seller_id = ?", id)
	for user := 1000; user < 1089; user++ {
		s.exec(id, "INSERT INTO seller_members__ (seller_id, user_id, role, since) VALUES (?, ?, 'member', NOW(3))", id, user)
	}
	refused(t, "one more than a seller may have", invite(51), "wrong_state")
}

// A repetition of an invitation finds it, also when no further message may be sent, and after a day it makes no other one.
func TestRepeatedInvitation(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	id := s.opened(1)
	whom, by := seller.Invited{Email: "tim@example.org", Locale: "de"}, s.by(1)
	first, err := s.Invite(ctx, by, id, whom, "member")
	if err != nil {
		t.Fatal(err)
	}
	s.others.full = &problem.Problem{Kind: problem.RateLimited}
	if again, err := s.Invite(ctx, by, id, whom, "member"); err != nil || again.ID != first.ID {
		t.Errorf("%+v, %v, want %+v", again, err, first)
	}
	_, err = s.Invite(ctx, s.by(1), id, seller.Invited{Email: "pia@example.org", Locale: "de"}, "member")
	refused(t, "another one", err, "rate_limited")
	s.others.full = nil
	if err := s.Withdraw(ctx, s.by(1), id, first.ID); err != nil {
		t.Fatal(err)
	}
	s.exec(id, "DELETE FROM seller_replays__")
	_, err = s.Invite(ctx, by, id, whom, "member")
	refused(t, "the same key after a day", err, "mismatch")
}

// Invitations that are over are forgotten however many they are.
func TestManyInvitationsEnd(t *testing.T) {
	t.Parallel()
	s := newSellers(t)
	id := s.opened(1)
	s.exec(id, "INSERT INTO seller_invitations__ (seller_id, invitation_id, role, personal, address_index, invited_by, made_at, ends_at) "+
		"SELECT ?, seq, 'member', 'x', UNHEX(SHA2(seq, 256)), 1, NOW(3) - INTERVAL 8 DAY, NOW(3) - INTERVAL 1 DAY FROM seq_1_to_1200", id)
	s.sweep()
	p := s.databases.At(shard.OfValue(id.String()))
	var left int
	if err := p.In(p.Writer()).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM seller_invitations__ WHERE personal IS NOT NULL").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d are left, %v", left, err)
	}
}

// An act about a key has the time of the act, however late its task writes it down beside the seller.
func TestActsOfKeysHaveTheirTime(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	id := s.opened(1)
	_, key, err := s.MakeKey(ctx, s.by(1), id, seller.KeyWish{Name: "warehouse", Scopes: []string{"seller:read"}, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // the task has to wait for a while
	s.work()
	acts, _, err := s.Acts(ctx, seller.Reader{User: 1}, id, 0, 10)
	if err != nil || len(acts) == 0 || acts[0].Act != "make_key" {
		t.Fatalf("%+v, %v", acts, err)
	}
	if late := acts[0].At.Sub(key.MadeAt); late > 100*time.Millisecond {
		t.Errorf("the act is %v later than the key", late)
	}
}
