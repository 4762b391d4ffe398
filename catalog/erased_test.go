package catalog_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/shard"
)

// keepUsers are the tables that may have rows of an erased user: nothing in them is personal.
var keepUsers = []string{"users", "consents"}

// left lists the tables of all packages that have rows of a user, whoever adds more of them, without what follows a second underscore.
func (s *shop) left(user int64) (tables []string) {
	s.t.Helper()
	for _, kind := range []shard.Kind{shard.Users, shard.Values} {
		for _, p := range s.databases().All(kind) {
			var columns [][2]string
			err := db.Rows(s.t.Context(), p.Writer(), func(row *sql.Rows) error {
				var of [2]string
				err := row.Scan(&of[0], &of[1])
				columns = append(columns, of)
				return err
			}, "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND column_name IN ('user_id', 'subject')")
			if err != nil || len(columns) < 8 {
				s.t.Fatal(columns, err)
			}
			for _, of := range columns {
				table := strings.TrimRight(of[0], "_0123456789")
				var n int
				if err := p.Writer().QueryRowContext(s.t.Context(), "SELECT COUNT(*) FROM `"+of[0]+"` WHERE `"+of[1]+"` = ?", user).Scan(&n); err != nil {
					s.t.Fatal(of, err)
				}
				if n > 0 && !slices.Contains(keepUsers, table) && !slices.Contains(tables, table) {
					tables = append(tables, table)
				}
			}
		}
	}
	return tables
}

// TestErasedUsersAreForgotten erases the owner of a seller, a person who has approved its application, and
// somebody who was assessed. No package keeps a row of them.
func TestErasedUsersAreForgotten(t *testing.T) {
	t.Parallel()
	for _, in := range layouts {
		t.Run(in.name, func(t *testing.T) {
			t.Parallel()
			c := newContract(t, in)
			who := c.people()
			review := "/v1/seller_reviews/" + c.text(c.write("POST", "/v1/sellers", who.owner, "a", application, "ok"), "seller_id")
			c.write("POST", review+"/claim", who.support, "c", "", "ok")
			c.seen(2, "POST", review+"/decision", who.support, "d", `{"approve":true,"reason":"the register has it"}`, "ok")
			const rex = "rex@example.org"
			asked := c.text(c.write("POST", "/v1/users", "", "rex", registration(rex, goodPassword), "ok"), "challenge_id")
			made := c.write("POST", "/v1/verifications/"+asked, "", "rex", fmt.Sprintf(`{"code":%q}`, c.code(rex, "verify_email")), "ok")
			registered, err := strconv.ParseInt(c.text(made, "user_id"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			for _, of := range []struct {
				user int64
				has  string
			}{{21, "seller_members"}, {31, "seller_approvals"}, {31, "seller_replays"}, {registered, "assess_answers"}} {
				if left := c.left(of.user); !slices.Contains(left, of.has) {
					t.Errorf("%v have rows of user %d, want %s too", left, of.user, of.has)
				}
			}
			for _, user := range []int64{21, 31, registered} {
				c.write("DELETE", "/v1/me", c.token(user, auth.RoleShopper), "e", `{"confirm":"erase"}`, "ok")
				err := lifecycle.Poll(t.Context(), 20*time.Millisecond, func() error { // until the task has run
					if left := c.left(user); len(left) > 0 {
						return fmt.Errorf("%v have rows of the erased user %d", left, user)
					}
					return nil
				}, func(error) bool { return false })
				if err != nil {
					t.Fatal(err)
				}
			}
			acts := 0
			for _, p := range c.databases().All(shard.Values) {
				var n int
				if err := p.In(p.Writer()).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM seller_acts__ WHERE act = 'erase' AND object = 'user:21'").Scan(&n); err != nil {
					t.Fatal(err)
				}
				acts += n
			}
			if acts != 1 {
				t.Errorf("%d acts tell the seller's people of the erasure, want 1", acts)
			}
			c.write("POST", review+"/claim", who.ops, "c", "", "ok")
			if shown := c.shoot(shot{Method: "GET", Path: review, Token: who.ops, Want: "ok"}); !strings.Contains(shown.Body, `"approvals":[]`) {
				t.Errorf("the review is %s", shown.Body)
			}
		})
	}
}
