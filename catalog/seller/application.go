package seller

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/web"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/shard"
	"sluice/core/stock"
)

const (
	insertSeller = "INSERT INTO sellers__ (seller_id, state, applicant, application, applied_at) VALUES (?, ?, ?, ?, NOW(3))"
	insertMember = "INSERT INTO seller_members__ (seller_id, user_id, role, since) VALUES (?, ?, ?, NOW(3))"
	countWaiting = "SELECT COALESCE(SUM(state IN ('applied', 'in_review')), 0), COALESCE(SUM(state = 'rejected'), 0), COALESCE(SUM(seller_id = ?), 0), COUNT(*) " +
		"FROM sellers__ WHERE applicant = ?"
	updateSealed = "UPDATE sellers__ SET application = ?, version = version + 1 WHERE seller_id = ? AND state = 'applied' AND version = ?"

	selectApplication = "SELECT s.state, s.version, s.applied_at, s.application, " +
		"COALESCE((SELECT h.reason FROM seller_history__ AS h WHERE h.seller_id = s.seller_id AND h.to_state = 'rejected'), '') " +
		"FROM sellers__ AS s WHERE " + isReader
	selectPublic = "SELECT state, application FROM sellers__ WHERE seller_id = ?"
	selectMine   = "SELECT s.seller_id, s.state, s.version, s.applied_at, m.role FROM seller_members__ AS m JOIN sellers__ AS s ON s.seller_id = m.seller_id " +
		"WHERE m.user_id = ? AND (s.applied_at > ? OR s.applied_at = ? AND s.seller_id > ?) ORDER BY s.applied_at, s.seller_id LIMIT ?"
)

// The roles of the people of a seller.
const (
	roleOwner  = "owner"
	roleMember = "member"
)

const waitingMax = 5 // applications of a user that wait or are in review

// Apply makes a seller that applies. Who applies is its owner.
func (s *Sellers) Apply(ctx context.Context, by Caller, a Application) (made Seller, err error) {
	if p := a.check(); p != nil {
		return Seller{}, p
	}
	err = s.alone(ctx, by.User, func() error {
		made, err = s.apply(ctx, by, &a)
		return err
	})
	return made, err
}

// alone does something while nobody else applies as the same user. The sellers of a user are in all places, so no row of one place could
// be locked for all of them.
func (s *Sellers) alone(ctx context.Context, user ids.User, do func() error) error {
	select {
	case s.applying <- struct{}{}:
		defer func() { <-s.applying }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", stock.ErrNotApplied, ctx.Err())
	}
	name := fmt.Sprintf("apply %d", user)
	p := s.databases.At(shard.OfValue(name))
	conn, err := p.Writer().Conn(ctx)
	if err != nil {
		return readError(p, err)
	}
	defer conn.Close()
	unlock, taken, err := db.TryLock(ctx, conn, name)
	switch {
	case err != nil:
		return readError(p, err)
	case !taken:
		return &problem.Problem{Kind: replay.InProgress}
	}
	defer unlock()
	return do()
}

func (s *Sellers) apply(ctx context.Context, by Caller, a *Application) (Seller, error) {
	id := s.sealer.DrawSeller(by.User, by.Key)
	sealed, err := s.seal(id, a)
	if err != nil {
		return Seller{}, err
	}
	before, err := s.mayApply(ctx, id, by.User)
	if err != nil {
		return Seller{}, err
	}
	verdict, err := s.assess(ctx, by, id, a, before)
	if err != nil {
		return Seller{}, err
	}
	return s.once(ctx, id, by, "apply", a, func(c *change) (Seller, error) {
		_, err := c.in.ExecContext(ctx, insertSeller, id, StateApplied, by.User, sealed)
		switch {
		case db.Answer(err) == db.AnswerDuplicate: // the answer is not kept any more, and the key has made a seller
			return Seller{}, &problem.Problem{Kind: problem.Mismatch}
		case err != nil:
			return Seller{}, db.WriteError("write seller", err)
		}
		if _, err := c.in.ExecContext(ctx, insertMember, id, by.User, roleOwner); err != nil {
			return Seller{}, db.WriteError("write owner", err)
		}
		if err := c.note(ctx, id, verdict); err != nil {
			return Seller{}, err
		}
		l, err := c.lock(ctx, id)
		if err != nil {
			return Seller{}, err
		}
		if err := c.tell(ctx, &l.Seller, "", ""); err != nil {
			return Seller{}, err
		}
		return l.Seller, c.becomes(ctx, id, by.User, roleOwner)
	})
}

// mayApply bounds the applications of a user that wait, and tells of those before. A repetition is none more.
func (s *Sellers) mayApply(ctx context.Context, id ids.Seller, user ids.User) (before past, err error) {
	waiting, known := 0, false
	for _, p := range s.databases.All(shard.Values) {
		var waits, mine int
		var rejected, all int64
		if err := p.In(p.Writer()).QueryRowContext(ctx, countWaiting, id, user).Scan(&waits, &rejected, &mine, &all); err != nil {
			return before, readError(p, err)
		}
		waiting, known = waiting+waits, known || mine > 0
		before.applications, before.rejections = before.applications+all-int64(mine), before.rejections+rejected
	}
	if waiting >= waitingMax && !known {
		return before, wrongState("%d applications wait or are in review", waiting)
	}
	return before, nil
}

// Change changes what a seller applied with, as long as nobody reviews it.
func (s *Sellers) Change(ctx context.Context, by Caller, id ids.Seller, from web.Version, a Application) (Seller, error) {
	if p := a.check(); p != nil {
		return Seller{}, p
	}
	sealed, err := s.seal(id, &a)
	if err != nil {
		return Seller{}, err
	}
	asked := struct {
		From web.Version
		To   Application
	}{from, a}
	return s.once(ctx, id, by, "change", asked, func(c *change) (Seller, error) {
		l, err := c.owned(ctx, id)
		switch {
		case err != nil:
			return Seller{}, err
		case l.State != StateApplied:
			return Seller{}, wrongState("the seller is %s", l.State)
		case l.Version != int64(from):
			return Seller{}, web.ErrChanged
		}
		if err := c.sameCountry(ctx, id, a.Address.Country); err != nil {
			return Seller{}, err
		}
		if _, err := c.in.ExecContext(ctx, updateSealed, sealed, id, l.Version); err != nil {
			return Seller{}, db.WriteError("change application", err)
		}
		l.Version++
		return l.Seller, nil
	})
}

// sameCountry refuses another country than the one that was assessed: it is the one fact that an applicant writes.
func (c *change) sameCountry(ctx context.Context, id ids.Seller, country string) error {
	var sealed []byte
	if err := c.in.QueryRowContext(ctx, selectSealed, id).Scan(&sealed); err != nil {
		return db.WriteError("read application", err)
	}
	before, err := c.s.open(id, sealed)
	if err == nil && before.Address.Country != country {
		err = wrongState("another country is another application")
	}
	return err
}

// owned locks a seller of which the caller is an owner. For others there is none, and for members it is forbidden.
func (c *change) owned(ctx context.Context, id ids.Seller) (*locked, error) {
	l, err := c.lock(ctx, id)
	if err != nil {
		return nil, err
	}
	switch role, err := c.role(ctx, id, c.by.User); {
	case err != nil:
		return nil, err
	case role == "":
		return nil, errUnknown
	case role != roleOwner:
		return nil, errForbidden
	}
	return l, nil
}

func (s *Sellers) seal(id ids.Seller, a *Application) ([]byte, error) {
	plain, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	return s.sealer.SealSeller(id, plain), nil
}

func (s *Sellers) open(id ids.Seller, sealed []byte) (a Application, err error) {
	plain, err := s.sealer.OpenSeller(id, sealed)
	if err != nil {
		return a, fmt.Errorf("seller %s: %w", id, err)
	}
	if json.Unmarshal(plain, &a) != nil { // its error may quote
		return Application{}, fmt.Errorf("seller %s: what it applied with cannot be read", id)
	}
	return a, nil
}

// Applied is what a seller applied with, for its people.
type Applied struct {
	Seller
	Application

	Reason string // why it was rejected
}

// Application shows what a seller applied with.
func (s *Sellers) Application(ctx context.Context, by Reader, id ids.Seller) (Applied, error) {
	p := s.at(id)
	a := Applied{Seller: Seller{ID: id}}
	var sealed []byte
	err := p.In(p.Writer()).QueryRowContext(ctx, selectApplication, by.of(id)...).Scan(&a.State, &a.Version, &a.AppliedAt, &sealed, &a.Reason)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Applied{}, errUnknown
	case err != nil:
		return Applied{}, readError(p, err)
	}
	a.Application, err = s.open(id, sealed)
	return a, err
}

// Public is who a seller is, for anybody.
func (s *Sellers) Public(ctx context.Context, id ids.Seller) (State, Application, error) {
	p := s.at(id)
	var state State
	var sealed []byte
	err := p.In(p.Writer()).QueryRowContext(ctx, selectPublic, id).Scan(&state, &sealed)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && !Means(state).shown:
		return "", Application{}, errUnknown
	case err != nil:
		return "", Application{}, readError(p, err)
	}
	a, err := s.open(id, sealed)
	return state, a, err
}

// Membership is a seller in which a user is somebody.
type Membership struct {
	Seller

	Role string
}

// memberships are the sellers in which a user is somebody.
var memberships = queue.List[Membership]{
	Name: "seller", Table: "sellers", Statement: selectMine,
	Scan: func(row *sql.Rows, m *Membership) error {
		return row.Scan(&m.ID, &m.State, &m.Version, &m.AppliedAt, &m.Role)
	},
	At: func(m *Membership) queue.Cursor { return m.cursor() },
}

// Mine lists the sellers in which a user is somebody, those that applied first before the others. They are in any place, so that all
// places are asked. Next is zero after the last page.
func (s *Sellers) Mine(ctx context.Context, user ids.User, after queue.Cursor, limit int) (page []Membership, next queue.Cursor, err error) {
	return memberships.Page(ctx, s.databases.All(shard.Values), after, limit, user)
}
