package account

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"time"

	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/stock"
)

const (
	listSessions = "SELECT session_id, created_at, rotated_at, ends_at, proved_at, COALESCE(proved_by, '') FROM sessions__ WHERE user_id = ? AND ends_at > NOW(3) " +
		"ORDER BY rotated_at DESC, session_id LIMIT ?"
	hasSession = "SELECT 1 FROM sessions__ WHERE user_id = ? AND session_id = ?"
)

var (
	unknownSession = problem.NewKind(problem.Kind{Code: "unknown_session", Status: http.StatusNotFound, Title: "There is no such session."})
	errNoSession   = &problem.Problem{Kind: unknownSession}
)

// Session is a session as its user sees it.
type Session struct {
	ID                        ids.Session
	CreatedAt, UsedAt, EndsAt time.Time

	ProvedAt time.Time // when its user has proved last who it is; zero: not lately
	ProvedBy string
}

// Sessions lists the sessions of a user that have not ended, the one used last first.
func (a *Accounts) Sessions(ctx context.Context, user ids.User) (all []Session, err error) {
	p := a.at(user)
	err = db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		var s Session
		var proved sql.NullTime
		err := row.Scan(&s.ID, &s.CreatedAt, &s.UsedAt, &s.EndsAt, &proved, &s.ProvedBy)
		s.ProvedAt = proved.Time
		all = append(all, s)
		return err
	}, listSessions, user, sessionsMax)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("sessions", "sessions"+p.Suffix, err))
	}
	return all, nil
}

// Lives reports whether the session of a token has not ended as of now.
func (a *Accounts) Lives(ctx context.Context, who auth.Identity) (bool, error) {
	s, err := a.session(ctx, ids.User(who.Subject), who.Session)
	return !s.over, err
}

// EndSession ends a session of a user. One that has ended stays so, which is a success.
func (a *Accounts) EndSession(ctx context.Context, user ids.User, id ids.Session) error {
	p := a.at(user)
	_, err := p.Write(ctx, "end of a session", func(tx *sql.Tx) error {
		done, err := p.In(tx).ExecContext(ctx, finishOne, user, id)
		if err != nil {
			return db.WriteError("end session", err)
		}
		n, err := done.RowsAffected()
		switch {
		case err != nil:
			return fmt.Errorf("end session: %w: %w", stock.ErrNotApplied, err)
		case n == 1:
			return tell(ctx, p, tx, user, eventEnded, ended{Sessions: []ids.Session{id}})
		}
		there, err := a.sessionIDs(ctx, p.In(tx), hasSession, user, id)
		if err == nil && len(there) == 0 {
			err = errNoSession
		}
		return err
	})
	return err
}

// EndOtherSessions ends all sessions of a user but one.
func (a *Accounts) EndOtherSessions(ctx context.Context, user ids.User, but ids.Session) error {
	p := a.at(user)
	_, err := p.Write(ctx, "end of sessions", func(tx *sql.Tx) error {
		if _, err := lock(ctx, p.In(tx), user); err != nil {
			return err
		}
		others, err := a.sessionIDs(ctx, p.In(tx), selectOthers, user, int64(but))
		if err != nil {
			return err
		}
		return a.finishSessions(ctx, tx, p, user, others)
	})
	return err
}
