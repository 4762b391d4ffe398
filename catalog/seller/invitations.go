package seller

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog/account"
	"sluice/catalog/internal/task"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/shard"
	"sluice/core/stock"
)

const (
	membersMax     = 100 // of a seller, with those who are invited
	waitingInvMax  = 20  // invitations of a seller that wait
	invitedDayMax  = 50  // people that a seller invites in a day
	invitationLife = 7 * 24 * time.Hour

	insertInvitation = "INSERT INTO seller_invitations__ (seller_id, invitation_id, role, personal, address_index, invited_by, made_at, ends_at) " +
		"VALUES (?, ?, ?, ?, ?, ?, NOW(3), NOW(3) + INTERVAL ? SECOND)"
	selectInvitation = "SELECT role, state, ends_at > NOW(3), personal, invited_by, made_at, ends_at FROM seller_invitations__ WHERE seller_id = ? AND invitation_id = ?"
	endInvitation    = "UPDATE seller_invitations__ SET state = ?, personal = NULL, address_index = NULL WHERE seller_id = ? AND invitation_id = ? AND state = 'waiting'"
	expireOfSeller   = "UPDATE seller_invitations__ SET state = 'expired', personal = NULL, address_index = NULL WHERE seller_id = ? AND state = 'waiting' AND ends_at <= NOW(3)"
	withdrawAllOf    = "UPDATE seller_invitations__ SET state = 'withdrawn', personal = NULL, address_index = NULL WHERE seller_id = ? AND invited_by = ? AND state = 'waiting'"
	countInvitations = "SELECT COALESCE(SUM(state = 'waiting'), 0), COALESCE(SUM(made_at > NOW(3) - INTERVAL 1 DAY), 0), " +
		"(SELECT COUNT(*) FROM seller_members__ WHERE seller_id = ?) FROM seller_invitations__ WHERE seller_id = ?"

	expireInvitations = "UPDATE seller_invitations__ SET state = 'expired', personal = NULL, address_index = NULL WHERE state = 'waiting' AND ends_at <= NOW(3) LIMIT ?"
	deleteInvitations = "DELETE FROM seller_invitations__ WHERE state = ? AND ends_at <= NOW(3) - INTERVAL 30 DAY LIMIT ?"

	// The row of the member makes sure that owners read their own seller only. One without invitations has a row of NULLs.
	selectInvitations = "SELECT me.role, i.invitation_id, i.role, i.personal, i.invited_by, i.made_at, i.ends_at FROM seller_members__ AS me " +
		"LEFT JOIN seller_invitations__ AS i ON i.seller_id = me.seller_id AND i.state = 'waiting' AND i.ends_at > NOW(3) " +
		"WHERE me.seller_id = ? AND me.user_id = ? ORDER BY i.made_at, i.invitation_id LIMIT ?"
	selectRoleState = "SELECT m.role, s.state FROM seller_members__ AS m JOIN sellers__ AS s ON s.seller_id = m.seller_id WHERE m.seller_id = ? AND m.user_id = ?"
)

// The states of an invitation that programs name.
const (
	invitationWaiting   = "waiting"
	invitationAccepted  = "accepted"
	invitationWithdrawn = "withdrawn"
)

// taskInvite is the kind of the tasks that send invitations. It is never renamed.
const taskInvite = "send_invitation"

var (
	unknownInvitation = problem.NewKind(problem.Kind{
		Code: "unknown_invitation", Status: http.StatusNotFound, Title: "The seller has no such invitation.",
	})
	invitationRefused = problem.NewKind(problem.Kind{
		Code: "invitation_refused", Status: http.StatusForbidden, Title: "The invitation is none, does not count any more, or is somebody else's.",
	})

	errNoInvitation = &problem.Problem{Kind: unknownInvitation}
	errNotInvited   = &problem.Problem{Kind: invitationRefused}
	errOtherAddress = &problem.Problem{Kind: invitationRefused, Detail: "it was sent to an address by which the user does not sign in"}

	localeForm = regexp.MustCompile(`^[a-z]{2}(?:-[A-Z]{2})?$`)
)

// Invited is whom an owner invites.
type Invited struct {
	Email  account.Email `json:"email"`
	Locale string        `json:"locale"` // of the message
}

// Invitation is one to become one of the people of a seller.
type Invitation struct {
	ID        ids.Invitation `json:"invitation_id"`
	Role      string         `json:"role"`
	InvitedBy ids.User       `json:"invited_by"`
	MadeAt    time.Time      `json:"made_at"`
	EndsAt    time.Time      `json:"ends_at"`

	Email account.Email `json:"-"` // answers that are kept do not have it
}

// Invite invites somebody by e-mail to become one of the people of a seller. The caller is an owner.
func (s *Sellers) Invite(ctx context.Context, by Caller, id ids.Seller, whom Invited, role string) (Invitation, error) {
	if !localeForm.MatchString(whom.Locale) {
		return Invitation{}, malformed("/locale", "want a language, such as de or de-AT")
	}
	state, err := s.ownerOf(ctx, by.User, id)
	if err == nil {
		err = hires(state)
	}
	if err != nil { // before it is counted for the recipient
		return Invitation{}, err
	}
	// Asked before the transaction, which holds a lock, and told behind its look for a repetition.
	refused := s.messenger.Allow(ctx, string(whom.Email), by.Address)
	plain, err := json.Marshal(whom)
	if err != nil {
		return Invitation{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	invitation, index := s.sealer.DrawInvitation(id, by.User, by.Key), s.sealer.IndexInvited(id, whom.Email.Key())
	asked := struct {
		Index        []byte
		Role, Locale string
	}{index[:], role, whom.Locale}
	done, err := once(ctx, s, id, by, "invite", asked, func(c *change) (Invitation, error) {
		if refused != nil {
			return Invitation{}, refused
		}
		l, err := c.owned(ctx, id)
		if err == nil {
			err = c.mayGrow(ctx, l)
		}
		if err != nil {
			return Invitation{}, err
		}
		_, err = c.in.ExecContext(ctx, insertInvitation, id, invitation, role, s.sealer.SealInvitation(id, invitation, plain), index[:], by.User,
			int64(invitationLife/time.Second))
		switch {
		case db.Answer(err) == db.AnswerDuplicate:
			if _, err := c.invitation(ctx, id, invitation); err == nil { // the answer is not kept any more, and the key has made an invitation
				return Invitation{}, &problem.Problem{Kind: problem.Mismatch}
			}
			return Invitation{}, wrongState("the address is invited already: withdraw that invitation first")
		case err != nil:
			return Invitation{}, db.WriteError("write invitation", err)
		}
		if err := c.tasks().Add(ctx, c.tx, taskInvite, invitation.String(), sending{id, invitation}, 0); err != nil {
			return Invitation{}, err
		}
		if err := c.did(ctx, id, deed{act: actInvite, object: "invitation:" + invitation.String(), role: role}); err != nil {
			return Invitation{}, err
		}
		of, err := c.invitation(ctx, id, invitation)
		return of.Invitation, err
	})
	done.Email = whom.Email
	return done, err
}

// ownerOf refuses who is no owner of a seller, and returns the seller's state.
func (s *Sellers) ownerOf(ctx context.Context, user ids.User, id ids.Seller) (state State, err error) {
	p := s.at(id)
	var role string
	err = p.In(p.Writer()).QueryRowContext(ctx, selectRoleState, id, user).Scan(&role, &state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return state, errUnknown
	case err != nil:
		return state, readError(p, err)
	case role != roleOwner:
		return state, errForbidden
	}
	return state, nil
}

// hires refuses to change the people of a seller that has not opened: nobody has verified the name that its invitations would have.
func hires(state State) error {
	if !Means(state).hires {
		return wrongState("the seller is %s", state)
	}
	return nil
}

// mayGrow bounds the people of a seller, and whom it sends messages to.
func (c *change) mayGrow(ctx context.Context, l *locked) error {
	if err := hires(l.State); err != nil {
		return err
	}
	if _, err := c.in.ExecContext(ctx, expireOfSeller, l.ID); err != nil {
		return db.WriteError("end invitations", err)
	}
	var waiting, today, members int
	err := c.in.QueryRowContext(ctx, countInvitations, l.ID, l.ID).Scan(&waiting, &today, &members)
	switch {
	case err != nil:
		return db.WriteError("count invitations", err)
	case waiting >= waitingInvMax:
		return wrongState("%d invitations wait", waiting)
	case today >= invitedDayMax:
		return wrongState("%d people were invited within a day", today)
	case waiting+members >= membersMax:
		return wrongState("a seller has at most %d people, with those whom it has invited", membersMax)
	}
	return nil
}

// invited is an invitation as its row has it.
type invited struct {
	Invitation

	state  string
	counts bool // its time is not over
	sealed []byte
}

// invitation reads an invitation of a locked seller.
func (c *change) invitation(ctx context.Context, id ids.Seller, of ids.Invitation) (i invited, err error) {
	i.ID = of
	err = c.in.QueryRowContext(ctx, selectInvitation, id, of).Scan(&i.Role, &i.state, &i.counts, &i.sealed, &i.InvitedBy, &i.MadeAt, &i.EndsAt)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return i, errNoInvitation
	case err != nil:
		return i, db.WriteError("read invitation", err)
	}
	return i, nil
}

// sending are the data of a task that sends an invitation.
type sending struct {
	Seller     ids.Seller     `json:"seller_id"`
	Invitation ids.Invitation `json:"invitation_id"`
}

// sendInvitation is such a task. The message is of a place of users: one that follows from the invitation, so that it is there once.
func (s *Sellers) sendInvitation(ctx context.Context, t task.Task) error {
	var of sending
	if err := t.Into(&of); err != nil {
		return task.Permanent(err)
	}
	i, whom, err := s.recipient(ctx, of.Seller, of.Invitation)
	switch {
	case errors.Is(err, errNotInvited): // it was withdrawn meanwhile
		return nil
	case err != nil:
		return err
	}
	name, err := s.legalName(ctx, of.Seller)
	if err != nil {
		return err
	}
	at := s.databases.At(shard.OfUser(int64(i.ID)))
	_, err = at.Write(ctx, "invitation", func(tx *sql.Tx) error {
		return s.messenger.Add(ctx, tx, at, Message{
			Event: "invitation-" + i.ID.String(), To: string(whom.Email), Locale: whom.Locale, Seller: name, Code: s.code(of.Seller, i.ID), Within: invitationLife,
		})
	})
	return err
}

// recipient reads an invitation that waits, and whom it goes to.
func (s *Sellers) recipient(ctx context.Context, id ids.Seller, of ids.Invitation) (i invited, whom Invited, err error) {
	p := s.at(id)
	i.ID = of
	err = p.In(p.Writer()).QueryRowContext(ctx, selectInvitation, id, of).Scan(&i.Role, &i.state, &i.counts, &i.sealed, &i.InvitedBy, &i.MadeAt, &i.EndsAt)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && (i.state != invitationWaiting || !i.counts):
		return i, whom, errNotInvited
	case err != nil:
		return i, whom, readError(p, err)
	}
	whom, err = s.whom(id, of, i.sealed)
	return i, whom, err
}

// whom opens whom an invitation goes to.
func (s *Sellers) whom(id ids.Seller, of ids.Invitation, sealed []byte) (whom Invited, err error) {
	plain, err := s.sealer.OpenInvitation(id, of, sealed)
	if err != nil {
		return whom, fmt.Errorf("invitation %s: %w", of, err)
	}
	if json.Unmarshal(plain, &whom) != nil { // its error may quote
		return whom, fmt.Errorf("invitation %s: what is personal of it cannot be read", of)
	}
	return whom, nil
}

// Invitations lists the invitations of a seller that wait, for its owners.
func (s *Sellers) Invitations(ctx context.Context, user ids.User, id ids.Seller) (all []Invitation, err error) {
	p, mine := s.at(id), ""
	var sealed [][]byte
	err = db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		var n, by sql.NullInt64
		var role sql.NullString
		var personal []byte
		var made, ends sql.NullTime
		err := row.Scan(&mine, &n, &role, &personal, &by, &made, &ends)
		if n.Valid {
			all = append(all, Invitation{ID: ids.Invitation(n.Int64), Role: role.String, InvitedBy: ids.User(by.Int64), MadeAt: made.Time, EndsAt: ends.Time})
			sealed = append(sealed, personal)
		}
		return err
	}, selectInvitations, id, user, waitingInvMax)
	switch {
	case err != nil:
		return nil, readError(p, err)
	case mine == "":
		return nil, errUnknown
	case mine != roleOwner:
		return nil, errForbidden
	}
	for i := range all {
		whom, err := s.whom(id, all[i].ID, sealed[i])
		if err != nil {
			return nil, err
		}
		all[i].Email = whom.Email
	}
	return all, nil
}

// Withdraw ends an invitation that waits. One that does not count any more is a success.
func (s *Sellers) Withdraw(ctx context.Context, by Caller, id ids.Seller, of ids.Invitation) error {
	return s.write(ctx, id, by, func(c *change) error {
		if _, err := c.owned(ctx, id); err != nil {
			return err
		}
		i, err := c.invitation(ctx, id, of)
		switch {
		case err != nil:
			return err
		case i.state == invitationAccepted:
			return wrongState("the invitation was accepted: remove the member")
		case i.state != invitationWaiting:
			return nil
		}
		if _, err := c.in.ExecContext(ctx, endInvitation, invitationWithdrawn, id, of); err != nil {
			return db.WriteError("end invitation", err)
		}
		return c.did(ctx, id, deed{act: actWithdraw, object: "invitation:" + of.String()})
	})
}

// endInvitations is the task that forgets whom invitations of a place went to that nobody has accepted in time.
func (s *Sellers) endInvitations(ctx context.Context, t task.Task) error {
	in := t.Place.In(t.Place.Writer())
	if _, err := db.InParts(ctx, in, "end invitations", expireInvitations); err != nil {
		return err
	}
	for _, state := range []string{invitationAccepted, invitationWithdrawn, "expired"} {
		if _, err := db.InParts(ctx, in, "delete invitations", deleteInvitations, state); err != nil {
			return err
		}
	}
	return nil
}
