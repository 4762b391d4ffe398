package catalog_test

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/shard"
)

// TestUsersAreInTheirPlaces makes many users by the API, and finds each in the table of its shard and in no other.
func TestUsersAreInTheirPlaces(t *testing.T) {
	t.Parallel()
	s := newShopIn(t, layouts[1]).start()
	databases, want := s.databases(), map[string][]int64{}
	for user := int64(1); user <= 60; user++ {
		s.makeUser(user)
		p := databases.At(shard.OfUser(user))
		want[p.Name] = append(want[p.Name], user)
	}
	for _, p := range databases.All(shard.Users) {
		var found []int64
		err := db.Rows(t.Context(), p.In(p.Writer()), func(row *sql.Rows) error {
			var user int64
			err := row.Scan(&user)
			found = append(found, user)
			return err
		}, "SELECT user_id FROM users__ ORDER BY user_id")
		if err != nil || len(found) == 0 || !slices.Equal(found, want[p.Name]) {
			t.Errorf("%s has the users %v, %v, want %v", p.Name, found, err, want[p.Name])
		}
	}
}

// TestWhoHasWrittenReadsIt has a reader that is behind.
func TestWhoHasWrittenReadsIt(t *testing.T) {
	t.Parallel()
	s := newShopIn(t, layouts[1]).start()
	mine := s.usersOf("a", 2)
	user, later := mine[0], mine[1]
	s.makeUser(user)
	s.await("the reader answers", func() bool {
		s.localeOf(user, "")
		return s.readsOf("a", "reader") > 0
	})
	s.lag(true)
	p := s.databases().At(shard.OfUser(user))
	if _, err := p.In(p.Writer()).ExecContext(t.Context(), "UPDATE users__ SET locale = 'fr' WHERE user_id = ?", user); err != nil {
		t.Fatal(err)
	}
	written := s.makeUser(later)
	if _, err := strconv.ParseUint(written, 10, 64); err != nil {
		t.Fatalf("the position of a write is %q", written)
	}
	for range 5 {
		if locale := s.localeOf(user, written); locale != "fr" {
			t.Errorf("after the write the locale is %s", locale)
		}
		if locale := s.localeOf(later, ""); locale != "de" {
			t.Errorf("who is new has the locale %q", locale)
		}
		if status, _, body := s.ask("GET", fmt.Sprintf("/v1/users/%d", user), s.token(1, auth.RoleService), "", ""); status != http.StatusOK || !strings.Contains(body, `"fr"`) {
			t.Errorf("a service sees %d %s", status, body)
		}
	}
	s.await("who asks for no position is shown what is old", func() bool { return s.localeOf(user, "") == "de" })
	s.lag(false)
	s.await("the reader has caught up", func() bool {
		before := s.readsOf("a", "reader")
		return s.localeOf(user, written) == "fr" && s.readsOf("a", "reader") > before
	})
}

// TestShopWithoutOneOfItsDatabases serves those whose rows are in the other one, and lets the others read.
func TestShopWithoutOneOfItsDatabases(t *testing.T) {
	t.Parallel()
	s := newShopIn(t, layouts[1]).start()
	away, here := s.usersOf("a", 2), s.usersOf("b", 2)
	s.makeUser(away[0])
	s.makeUser(here[0])
	s.await("the reader answers", func() bool {
		s.localeOf(away[0], "")
		return s.readsOf("a", "reader") > 0
	})
	if err := s.primary.Kill(); err != nil {
		t.Fatal(err)
	}
	s.await("it is ready, and says what is away", func() bool {
		status, body := s.get("/readyz?verbose")
		return status == http.StatusOK && strings.Contains(body, `"status":"degraded"`) && strings.Contains(body, "database a: ")
	})
	s.makeUser(here[1])
	if locale := s.localeOf(away[0], ""); locale != "de" {
		t.Errorf("the reader of the database that is away tells the locale %q", locale)
	}
	if status, _, body := s.ask("PUT", fmt.Sprintf("/v1/users/%d", away[1]), s.token(1, auth.RoleService), home, ""); status != http.StatusServiceUnavailable {
		t.Errorf("a user of the database that is away: %d %s", status, body)
	}
}

const home = `{"region":"eu","locale":"de"}`

// makeUser makes a user, and returns the position of that.
func (s *shop) makeUser(user int64) (readAfter string) {
	s.t.Helper()
	status, header, body := s.ask("PUT", fmt.Sprintf("/v1/users/%d", user), s.token(1, auth.RoleService), home, "")
	if status != http.StatusCreated {
		s.t.Fatalf("make user %d: %d %s", user, status, body)
	}
	return header.Get("Read-After")
}

// localeOf is what the user is shown of itself.
func (s *shop) localeOf(user int64, readAfter string) string {
	s.t.Helper()
	status, _, body := s.ask("GET", "/v1/me", s.token(user, auth.RoleShopper), "", readAfter)
	_, rest, _ := strings.Cut(body, `"locale":"`)
	locale, _, _ := strings.Cut(rest, `"`)
	if status != http.StatusOK {
		s.t.Errorf("user %d sees %d %s", user, status, body)
	}
	return locale
}

func (s *shop) ask(method, path, token, body, readAfter string) (status int, header http.Header, answer string) {
	s.t.Helper()
	r, err := http.NewRequest(method, "http://"+s.node.Addr()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "k")
	}
	if readAfter != "" {
		r.Header.Set("Read-After", readAfter)
	}
	resp, err := s.http.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// usersOf are users whose rows are in a database.
func (s *shop) usersOf(database string, n int) (users []int64) {
	s.t.Helper()
	databases := s.databases()
	for user := int64(1); len(users) < n; user++ {
		if strings.HasPrefix(databases.At(shard.OfUser(user)).Name, database+"_") {
			users = append(users, user)
		}
	}
	return users
}

// readsOf reads how often somebody has answered for a database.
func (s *shop) readsOf(database, from string) (reads int) {
	s.t.Helper()
	_, page := s.get("/metrics")
	found := regexp.MustCompile(fmt.Sprintf(`sluice_catalog_database_reads_total{database=%q,from=%q} (\d+)`, database, from)).FindStringSubmatch(page)
	if found == nil {
		s.t.Fatalf("no reads of %s from %s: %s", database, from, page)
	}
	reads, _ = strconv.Atoi(found[1])
	return reads
}

func (s *shop) lag(lags bool) {
	s.t.Helper()
	if err := s.replica.Lag(s.t.Context(), lags); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) await(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain: %s", what)
		}
	}
}
