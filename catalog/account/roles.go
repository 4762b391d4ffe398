package account

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/web"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
	"sluice/core/stock"
)

// What an admin can grant. Admins and services themselves have keys of files, and no row here.
var grantable = map[string]auth.Role{"support": web.RoleSupport, "ops": web.RoleOps}

const (
	selectRoles = "SELECT role, granted_by, reason, granted_at FROM granted_roles__ WHERE user_id = ? ORDER BY role"
	// A user who is locked or erased has no role.
	selectHeld = "SELECT r.role FROM granted_roles__ AS r JOIN users__ AS u ON u.user_id = r.user_id WHERE r.user_id = ? AND u.state = 'active'"
	insertRole = "INSERT INTO granted_roles__ (user_id, role, granted_by, reason, granted_at) VALUES (?, ?, ?, ?, NOW(3)) ON DUPLICATE KEY UPDATE role = role"
	deleteRole = "DELETE FROM granted_roles__ WHERE user_id = ? AND role = ?"
)

// GrantedRole is a role that a user has.
type GrantedRole struct {
	Role   string
	By     string // as in the audit log
	Reason string
	At     time.Time
}

// Roles lists what is granted to a user.
func (a *Accounts) Roles(ctx context.Context, user ids.User) ([]GrantedRole, error) {
	if _, err := a.User(ctx, user, db.Never); err != nil {
		return nil, err
	}
	p := a.at(user)
	return grantedTo(ctx, p.In(p.Writer()), user)
}

func grantedTo(ctx context.Context, in place.Conn, user ids.User) (all []GrantedRole, err error) {
	err = db.Rows(ctx, in, func(row *sql.Rows) error {
		var r GrantedRole
		err := row.Scan(&r.Role, &r.By, &r.Reason, &r.At)
		all = append(all, r)
		return err
	}, selectRoles, user)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("roles", "granted_roles", err))
	}
	return all, nil
}

// SetRole grants a role to an active user, or takes it away from any. What is so already is a success, and no act.
func (a *Accounts) SetRole(ctx context.Context, user ids.User, role string, granted bool, reason string, by audit.Author) error {
	if err := audit.CheckReason(reason); err != nil {
		return err
	}
	p := a.at(user)
	_, err := p.Write(ctx, "role", func(tx *sql.Tx) error {
		held, err := lock(ctx, p.In(tx), user)
		switch {
		case err != nil:
			return err
		case held.state == "":
			return errUnknown
		case granted && held.state != StateActive:
			return &problem.Problem{Kind: problem.WrongState, Detail: "the user is " + string(held.state)}
		}
		statement, values := insertRole, []any{user, role, by.Actor, reason}
		if !granted {
			statement, values = deleteRole, []any{user, role}
		}
		done, err := p.In(tx).ExecContext(ctx, statement, values...)
		if err != nil {
			return db.WriteError("write role", err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return a.acts.Append(ctx, p.In(tx), shard.OfUser(int64(user)), roleAct(user, role, granted, by, reason))
	})
	a.granted.forget(int64(user))
	return err
}

// roleAct is the act of granting a role, or of taking it away.
func roleAct(user ids.User, role string, granted bool, by audit.Author, why string) audit.Act {
	act := "role.grant"
	if !granted {
		act = "role.revoke"
	}
	return audit.Act{
		Author: by, Act: act, Object: audit.Of("user", int64(user)), Why: why,
		Changes: []audit.Change{{Name: role, Before: !granted, After: granted}},
	}
}

const (
	// grantedLife is how long a process may remember what was granted. A role that is taken away is gone everywhere after that.
	grantedLife = 3 * time.Second
	// grantedMax users are remembered: about 50 bytes each.
	grantedMax = 10_000
)

// granted remembers what was granted to users. The zero granted is empty.
type granted struct {
	mu  sync.Mutex
	all map[int64]remembered
}

type remembered struct {
	roles web.Roles
	until time.Time
}

// get returns what is remembered.
func (g *granted) get(user int64, now time.Time) (web.Roles, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	held, ok := g.all[user]
	return held.roles, ok && now.Before(held.until)
}

func (g *granted) put(user int64, roles web.Roles, asked time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil || len(g.all) >= grantedMax {
		g.all = map[int64]remembered{}
	}
	g.all[user] = remembered{roles, asked.Add(grantedLife)}
}

func (g *granted) forget(user int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.all, user)
}

// Granted implements what web.Config asks for. It reads from the writer, because a reader may still have what was taken away.
func (a *Accounts) Granted(ctx context.Context, user int64) (web.Roles, error) {
	asked := a.now()
	if held, ok := a.granted.get(user, asked); ok {
		return held, nil
	}
	p := a.at(ids.User(user))
	var held web.Roles
	err := db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		var role string
		err := row.Scan(&role)
		if of, ok := grantable[role]; ok {
			held |= web.RolesOf(of)
		}
		return err
	}, selectHeld, user)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("roles", "granted_roles"+p.Suffix, err))
	}
	a.granted.put(user, held, asked)
	return held, nil
}
