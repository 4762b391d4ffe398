package seller

import (
	"context"
	"strconv"

	"sluice/catalog/account"
	"sluice/catalog/internal/web"
	"sluice/catalog/seller/internal/api"
	"sluice/core/ids"
)

// actsLimit is how many acts a page has if nobody says.
const actsLimit = 50

// changed tells the client where a write about a seller is.
func (s server) changed(ctx context.Context, id ids.Seller) { web.Wrote(ctx, s.at(id).Position(ctx)) }

// JoinSeller implements api.StrictServerInterface.
func (s server) JoinSeller(ctx context.Context, r api.JoinSellerRequestObject) (api.JoinSellerResponseObject, error) {
	of, err := s.Join(ctx, caller(ctx, r.Params.IdempotencyKey), r.Body.Code)
	if err != nil {
		return nil, err
	}
	s.changed(ctx, of.ID)
	return api.JoinSeller201JSONResponse(shownMembership(&of)), nil
}

// ListMembers implements api.StrictServerInterface.
func (s server) ListMembers(ctx context.Context, r api.ListMembersRequestObject) (api.ListMembersResponseObject, error) {
	all, err := s.Members(ctx, reader(ctx), r.SellerID)
	if err != nil {
		return nil, err
	}
	list := api.ListMembers200JSONResponse{Data: []api.SellerMember{}}
	for _, m := range all {
		list.Data = append(list.Data, api.SellerMember{UserID: m.User, Role: api.MemberRole(m.Role), Since: shown(m.Since)})
	}
	return list, nil
}

// RemoveMember implements api.StrictServerInterface.
func (s server) RemoveMember(ctx context.Context, r api.RemoveMemberRequestObject) (api.RemoveMemberResponseObject, error) {
	if err := s.Remove(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.UserID); err != nil {
		return nil, err
	}
	s.changed(ctx, r.SellerID)
	return api.RemoveMember204Response{}, nil
}

// Invite implements api.StrictServerInterface.
func (s server) Invite(ctx context.Context, r api.InviteRequestObject) (api.InviteResponseObject, error) {
	email, err := account.ReadEmail(r.Body.Email)
	if err != nil {
		return nil, malformed("/email", "%v", err)
	}
	role := string(r.Body.Role)
	if role != roleOwner && role != roleMember {
		return nil, malformed("/role", "want owner or member")
	}
	i, err := s.Sellers.Invite(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, Invited{email, r.Body.Locale}, role)
	if err != nil {
		return nil, err
	}
	s.changed(ctx, r.SellerID)
	return api.Invite201JSONResponse(shownInvitation(&i)), nil
}

// ListInvitations implements api.StrictServerInterface.
func (s server) ListInvitations(ctx context.Context, r api.ListInvitationsRequestObject) (api.ListInvitationsResponseObject, error) {
	all, err := s.Invitations(ctx, me(ctx), r.SellerID)
	if err != nil {
		return nil, err
	}
	list := api.ListInvitations200JSONResponse{Data: []api.Invitation{}}
	for i := range all {
		list.Data = append(list.Data, shownInvitation(&all[i]))
	}
	return list, nil
}

// WithdrawInvitation implements api.StrictServerInterface.
func (s server) WithdrawInvitation(ctx context.Context, r api.WithdrawInvitationRequestObject) (api.WithdrawInvitationResponseObject, error) {
	if err := s.Withdraw(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.InvitationID); err != nil {
		return nil, err
	}
	s.changed(ctx, r.SellerID)
	return api.WithdrawInvitation204Response{}, nil
}

// ShowOffer implements api.StrictServerInterface.
func (s server) ShowOffer(ctx context.Context, r api.ShowOfferRequestObject) (api.ShowOfferResponseObject, error) {
	o, err := s.Offered(ctx, me(ctx), r.SellerID)
	if err != nil {
		return nil, err
	}
	return api.ShowOffer200JSONResponse(shownOffer(o)), nil
}

// OfferSeller implements api.StrictServerInterface.
func (s server) OfferSeller(ctx context.Context, r api.OfferSellerRequestObject) (api.OfferSellerResponseObject, error) {
	o, err := s.Offer(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.Body.UserID)
	if err != nil {
		return nil, err
	}
	s.changed(ctx, r.SellerID)
	return api.OfferSeller200JSONResponse(shownOffer(o)), nil
}

// EndOffer implements api.StrictServerInterface.
func (s server) EndOffer(ctx context.Context, r api.EndOfferRequestObject) (api.EndOfferResponseObject, error) {
	if err := s.Sellers.EndOffer(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID); err != nil {
		return nil, err
	}
	s.changed(ctx, r.SellerID)
	return api.EndOffer204Response{}, nil
}

// AcceptSeller implements api.StrictServerInterface.
func (s server) AcceptSeller(ctx context.Context, r api.AcceptSellerRequestObject) (api.AcceptSellerResponseObject, error) {
	of, err := s.Accept(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID)
	if err != nil {
		return nil, err
	}
	s.changed(ctx, r.SellerID)
	return api.AcceptSeller200JSONResponse(shownMembership(&of)), nil
}

func shownOffer(o Offer) api.SellerOffer {
	return api.SellerOffer{From: o.From, To: o.To, MadeAt: shown(o.MadeAt), EndsAt: shown(o.EndsAt)}
}

// ListSellerActs implements api.StrictServerInterface.
func (s server) ListSellerActs(ctx context.Context, r api.ListSellerActsRequestObject) (api.ListSellerActsResponseObject, error) {
	before := int64(0)
	if r.Params.Cursor != "" {
		n, ok := ids.Parse(r.Params.Cursor)
		if !ok {
			return nil, web.Malformed("", "the cursor is not one of this list")
		}
		before = n
	}
	all, next, err := s.Acts(ctx, reader(ctx), r.SellerID, before, r.Params.Limit.Or(actsLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListSellerActs200JSONResponse{Data: []api.SellerAct{}}
	for _, a := range all {
		line := api.SellerAct{At: shown(a.At), Actor: a.Actor, Act: api.SellerActAct(a.Act), Object: a.Object}
		if a.Role != "" {
			role := api.SellerActRole(a.Role)
			line.Role = &role
		}
		list.Data = append(list.Data, line)
	}
	if next != 0 {
		text := strconv.FormatInt(next, 10)
		list.NextCursor = &text
	}
	return list, nil
}

func shownMembership(m *Membership) api.Membership {
	return api.Membership{SellerID: m.ID, State: api.SellerState(m.State), AppliedAt: shown(m.AppliedAt), Version: int(m.Version), Role: api.MemberRole(m.Role)}
}

func shownInvitation(i *Invitation) api.Invitation {
	return api.Invitation{
		InvitationID: i.ID, Email: string(i.Email), Role: api.MemberRole(i.Role), InvitedBy: i.InvitedBy, MadeAt: shown(i.MadeAt), EndsAt: shown(i.EndsAt),
	}
}
