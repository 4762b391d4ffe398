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
	offerLife = 7 * 24 * time.Hour

	selectOffer = "SELECT from_user, to_user, made_at, ends_at FROM seller_offers__ WHERE seller_id = ? AND ends_at > NOW(3)"
	putOffer    = "REPLACE INTO seller_offers__ (seller_id, from_user, to_user, made_at, ends_at) VALUES (?, ?, ?, NOW(3), NOW(3) + INTERVAL ? SECOND)"
	deleteOffer = "DELETE FROM seller_offers__ WHERE seller_id = ?"
	// An offer of who is nobody any more, or to such, is none.
	deleteOfferOf = "DELETE FROM seller_offers__ WHERE seller_id = ? AND (from_user = ? OR to_user = ?)"
	setRole       = "UPDATE seller_members__ SET role = ? WHERE seller_id = ? AND user_id = ?"

	// The row of the member makes sure that a seller's people read their own seller only. Without an offer there is a row of NULLs.
	showOffer = "SELECT o.from_user, o.to_user, o.made_at, o.ends_at FROM seller_members__ AS me " +
		"LEFT JOIN seller_offers__ AS o ON o.seller_id = me.seller_id AND o.ends_at > NOW(3) WHERE me.seller_id = ? AND me.user_id = ?"
)

// What the people of a seller do to give it away.
const (
	actOffer    = "offer"
	actEndOffer = "end_offer"
	actTransfer = "transfer"

	templateOffered = "owner_offered"
	templateOwner   = "owner_changed"
)

var (
	unknownOffer = problem.NewKind(problem.Kind{Code: "unknown_offer", Status: http.StatusNotFound, Title: "The seller is not offered."})

	errNoOffer    = &problem.Problem{Kind: unknownOffer}
	errOwner      = &problem.Problem{Kind: problem.WrongState, Detail: "the user is an owner already"}
	errOtherOffer = &problem.Problem{Kind: problem.WrongState, Detail: "another owner offers the seller"}
	errNotOffered = &problem.Problem{Kind: problem.Forbidden, Detail: "only who offers the seller, and to whom it is offered, may do this"}
)

// Offer is that of a seller by an owner to a member, who becomes an owner in the place of the other.
type Offer struct {
	From, To       ids.User
	MadeAt, EndsAt time.Time
}

// offer reads the offer of a locked seller. From is 0 if there is none.
func (c *change) offer(ctx context.Context, id ids.Seller) (o Offer, err error) {
	err = c.in.QueryRowContext(ctx, selectOffer, id).Scan(&o.From, &o.To, &o.MadeAt, &o.EndsAt)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return o, db.WriteError("read offer", err)
	}
	return o, nil
}

// Offered shows one of the people of a seller to whom it is offered.
func (s *Sellers) Offered(ctx context.Context, user ids.User, id ids.Seller) (Offer, error) {
	p := s.at(id)
	var from, to sql.Null[ids.User]
	var made, ends sql.NullTime
	err := p.In(p.Writer()).QueryRowContext(ctx, showOffer, id, user).Scan(&from, &to, &made, &ends)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Offer{}, errUnknown
	case err != nil:
		return Offer{}, readError(p, err)
	case !from.Valid:
		return Offer{}, errNoOffer
	}
	return Offer{from.V, to.V, made.Time, ends.Time}, nil
}

// Offer offers a seller of which the caller is an owner to a member. The offer that there is already is a success.
func (s *Sellers) Offer(ctx context.Context, by Caller, id ids.Seller, to ids.User) (o Offer, err error) {
	err = s.write(ctx, id, by, func(c *change) error {
		l, err := c.owned(ctx, id)
		if err == nil {
			err = hires(l.State)
		}
		if err != nil {
			return err
		}
		role, err := c.role(ctx, id, to)
		switch {
		case err != nil:
			return err
		case role == "":
			return errNoMember
		case role == roleOwner:
			return errOwner
		}
		switch o, err = c.offer(ctx, id); {
		case err != nil:
			return err
		case o.From == by.User && o.To == to:
			return nil
		case o.From != 0 && o.From != by.User:
			return errOtherOffer
		}
		if _, err := c.in.ExecContext(ctx, putOffer, id, by.User, to, int64(offerLife/time.Second)); err != nil {
			return db.WriteError("write offer", err)
		}
		if err := c.did(ctx, id, deed{act: actOffer, object: userObject(to)}); err != nil {
			return err
		}
		if err := c.notify(ctx, id, to, templateOffered); err != nil {
			return err
		}
		o, err = c.offer(ctx, id)
		return err
	})
	return o, err
}

// EndOffer takes an offer back, or declines it. Where there is none it is a success.
func (s *Sellers) EndOffer(ctx context.Context, by Caller, id ids.Seller) error {
	_, err := once(ctx, s, id, by, "end_offer", nil, func(c *change) (Seller, error) {
		l, err := c.lock(ctx, id)
		if err != nil {
			return Seller{}, err
		}
		role, err := c.role(ctx, id, by.User)
		switch {
		case err != nil:
			return Seller{}, err
		case role == "":
			return Seller{}, errUnknown
		}
		o, err := c.offer(ctx, id)
		switch {
		case err != nil || o.From == 0:
			return l.Seller, err
		case by.User != o.From && by.User != o.To:
			return Seller{}, errNotOffered
		}
		if _, err := c.in.ExecContext(ctx, deleteOffer, id); err != nil {
			return Seller{}, db.WriteError("end offer", err)
		}
		return l.Seller, c.did(ctx, id, deed{act: actEndOffer, object: userObject(o.To)})
	})
	return err
}

// Accept makes the caller, to whom a seller is offered, its owner, and who has offered it a member. Both are told.
func (s *Sellers) Accept(ctx context.Context, by Caller, id ids.Seller) (Membership, error) {
	return once(ctx, s, id, by, "accept", nil, func(c *change) (Membership, error) {
		l, err := c.lock(ctx, id)
		if err != nil {
			return Membership{}, err
		}
		role, err := c.role(ctx, id, by.User)
		switch {
		case err != nil:
			return Membership{}, err
		case role == "":
			return Membership{}, errUnknown
		}
		o, err := c.offer(ctx, id)
		switch {
		case err != nil:
			return Membership{}, err
		case o.To != by.User: // or there is none
			return Membership{}, errNoOffer
		}
		if err := hires(l.State); err != nil {
			return Membership{}, err
		}
		return Membership{l.Seller, roleOwner}, c.transfer(ctx, id, o)
	})
}

// transfer does what an offer says. Both are among the people of the seller: else there would be no offer.
func (c *change) transfer(ctx context.Context, id ids.Seller, o Offer) error {
	if _, err := c.in.ExecContext(ctx, deleteOffer, id); err != nil {
		return db.WriteError("end offer", err)
	}
	// Who is a member from now on may not invite: nobody comes back by an invitation of before.
	if _, err := c.in.ExecContext(ctx, withdrawAllOf, id, o.From); err != nil {
		return db.WriteError("end invitations", err)
	}
	if err := c.did(ctx, id, deed{act: actTransfer, object: userObject(o.From), role: roleMember}); err != nil {
		return err
	}
	for _, of := range []memberEvent{{o.To, roleOwner}, {o.From, roleMember}} {
		if _, err := c.in.ExecContext(ctx, setRole, of.Role, id, of.User); err != nil {
			return db.WriteError("set a role", err)
		}
		if err := c.becomes(ctx, id, of.User, of.Role); err != nil {
			return err
		}
		if err := c.notify(ctx, id, of.User, templateOwner); err != nil {
			return err
		}
	}
	return nil
}
