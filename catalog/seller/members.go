package seller

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
)

const (
	selectMembers = "SELECT m.user_id, m.role, m.since FROM sellers__ AS s JOIN seller_members__ AS m ON m.seller_id = s.seller_id WHERE " + isReader +
		" ORDER BY m.since, m.user_id LIMIT ?"
	countOwners  = "SELECT COUNT(*) FROM seller_members__ WHERE seller_id = ? AND role = 'owner'"
	countMembers = "SELECT COUNT(*) FROM seller_members__ WHERE seller_id = ?"
	deleteMember = "DELETE FROM seller_members__ WHERE seller_id = ? AND user_id = ?"
)

// Templates of notices.
const (
	templateJoined  = "member_joined"
	templateRemoved = "member_removed"
)

var (
	unknownMember = problem.NewKind(problem.Kind{Code: "unknown_member", Status: http.StatusNotFound, Title: "The user is nobody in the seller."})

	errNoMember  = &problem.Problem{Kind: unknownMember}
	errLastOwner = &problem.Problem{Kind: problem.WrongState, Detail: "it is the last owner: make another one first"}
	errMember    = &problem.Problem{Kind: problem.WrongState, Detail: "the user is somebody in the seller already"}
)

// Member is one of the people of a seller.
type Member struct {
	User  ids.User
	Role  string
	Since time.Time
}

// Members lists the people of a seller. Those who have been there longest come first.
func (s *Sellers) Members(ctx context.Context, by Reader, id ids.Seller) (all []Member, err error) {
	p := s.at(id)
	err = db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		var m Member
		err := row.Scan(&m.User, &m.Role, &m.Since)
		all = append(all, m)
		return err
	}, selectMembers, append(by.of(id), membersMax)...)
	switch {
	case err != nil:
		return nil, readError(p, err)
	case len(all) == 0:
		return nil, errUnknown
	}
	return all, nil
}

// Join makes a user one of the people of a seller, by the code of an invitation to an address by which the user signs in. A code
// counts once.
func (s *Sellers) Join(ctx context.Context, by Caller, code string) (Membership, error) {
	id, of, ok := s.readCode(code)
	if !ok {
		return Membership{}, errNotInvited
	}
	// Asked before the transaction, which holds a lock, and told behind its look for a repetition.
	_, whom, refused := s.recipient(ctx, id, of)
	if refused == nil {
		has, err := s.accounts.HasEmail(ctx, by.User, whom.Email)
		if err != nil {
			return Membership{}, err
		}
		if !has {
			refused = errOtherAddress
		}
	}
	return once(ctx, s, id, by, "join", of, func(c *change) (Membership, error) {
		if refused != nil {
			return Membership{}, refused
		}
		l, err := c.lock(ctx, id)
		if err != nil {
			return Membership{}, err
		}
		i, err := c.invitation(ctx, id, of)
		switch {
		case errors.Is(err, errNoInvitation), err == nil && (i.state != invitationWaiting || !i.counts):
			return Membership{}, errNotInvited
		case err != nil:
			return Membership{}, err
		}
		return Membership{l.Seller, i.Role}, c.join(ctx, l, i)
	})
}

// join makes the caller one of the people of a seller.
func (c *change) join(ctx context.Context, l *locked, i invited) error {
	if err := hires(l.State); err != nil {
		return err
	}
	var members int
	switch err := c.in.QueryRowContext(ctx, countMembers, l.ID).Scan(&members); {
	case err != nil:
		return db.WriteError("count members", err)
	case members >= membersMax:
		return wrongState("a seller has at most %d people", membersMax)
	}
	_, err := c.in.ExecContext(ctx, insertMember, l.ID, c.by.User, i.Role)
	switch {
	case db.Answer(err) == db.AnswerDuplicate:
		return errMember
	case err != nil:
		return db.WriteError("write member", err)
	}
	if _, err := c.in.ExecContext(ctx, endInvitation, invitationAccepted, l.ID, i.ID); err != nil {
		return db.WriteError("end invitation", err)
	}
	if err := c.did(ctx, l.ID, deed{act: actJoin, object: "invitation:" + i.ID.String(), role: i.Role}); err != nil {
		return err
	}
	if err := c.becomes(ctx, l.ID, c.by.User, i.Role); err != nil {
		return err
	}
	return c.notify(ctx, l.ID, i.InvitedBy, templateJoined)
}

// Remove takes one of its people from a seller: an owner removes anybody, others leave. The last owner stays.
func (s *Sellers) Remove(ctx context.Context, by Caller, id ids.Seller, user ids.User) error {
	_, err := once(ctx, s, id, by, "remove", user, func(c *change) (Seller, error) {
		l, err := c.lock(ctx, id)
		if err != nil {
			return Seller{}, err
		}
		mine, err := c.role(ctx, id, by.User)
		switch {
		case err != nil:
			return Seller{}, err
		case mine == "":
			return Seller{}, errUnknown
		case user == by.User:
			return l.Seller, c.remove(ctx, id, user, mine, actLeave)
		case mine != roleOwner:
			return Seller{}, errForbidden
		}
		theirs, err := c.role(ctx, id, user)
		switch {
		case err != nil:
			return Seller{}, err
		case theirs == "":
			return Seller{}, errNoMember
		}
		if err := c.remove(ctx, id, user, theirs, actRemove); err != nil {
			return Seller{}, err
		}
		return l.Seller, c.notify(ctx, id, user, templateRemoved)
	})
	return err
}

// remove takes a user who has a role from a locked seller, unless it is the last owner.
func (c *change) remove(ctx context.Context, id ids.Seller, user ids.User, role, act string) error {
	if role == roleOwner {
		var owners int
		switch err := c.in.QueryRowContext(ctx, countOwners, id).Scan(&owners); {
		case err != nil:
			return db.WriteError("count owners", err)
		case owners < 2:
			return errLastOwner
		}
	}
	return c.take(ctx, id, user, act)
}

// take takes a user from a locked seller, and with it what waits of that user: invitations, and an offer.
func (c *change) take(ctx context.Context, id ids.Seller, user ids.User, act string) error {
	if _, err := c.in.ExecContext(ctx, deleteMember, id, user); err != nil {
		return db.WriteError("remove member", err)
	}
	if _, err := c.in.ExecContext(ctx, withdrawAllOf, id, user); err != nil {
		return db.WriteError("end invitations", err)
	}
	if _, err := c.in.ExecContext(ctx, deleteOfferOf, id, user, user); err != nil {
		return db.WriteError("end offer", err)
	}
	if err := c.did(ctx, id, deed{act: act, object: userObject(user), role: roleNone}); err != nil {
		return err
	}
	return c.becomes(ctx, id, user, roleNone)
}
