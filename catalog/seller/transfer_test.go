package seller_test

import (
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"

	"sluice/catalog/seller"
)

// TestSellerIsGivenAway offers a seller to a member, who accepts: they change places.
func TestSellerIsGivenAway(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	id := s.opened(1)
	s.hire(id, 1, 2, "member")
	s.hire(id, 1, 3, "member")
	s.hire(id, 1, 4, "owner")
	_, err := s.Offer(ctx, s.by(2), id, 3)
	refused(t, "a member offers", err, "forbidden")
	_, err = s.Offer(ctx, s.by(1), id, 4)
	refused(t, "an offer to an owner", err, "wrong_state")
	_, err = s.Offer(ctx, s.by(1), id, 77)
	refused(t, "an offer to nobody", err, "unknown_member")
	_, err = s.Offered(ctx, 2, id)
	refused(t, "no offer", err, "unknown_offer")
	_, err = s.Offered(ctx, 77, id)
	refused(t, "nobody looks at an offer", err, "unknown_seller")
	first, err := s.Offer(ctx, s.by(1), id, 2)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Offer(ctx, s.by(1), id, 2); err != nil || again != first {
		t.Errorf("%+v, %v, want %+v", again, err, first)
	}
	_, err = s.Offer(ctx, s.by(4), id, 2)
	refused(t, "an offer beside another owner's", err, "wrong_state")
	_, err = s.Accept(ctx, s.by(3), id)
	refused(t, "another member accepts", err, "unknown_offer")
	refused(t, "another member declines", s.EndOffer(ctx, s.by(3), id), "forbidden")
	if o, err := s.Offer(ctx, s.by(1), id, 3); err != nil || o.To != 3 { // in its place
		t.Errorf("%+v, %v", o, err)
	}
	_, err = s.Accept(ctx, s.by(2), id)
	refused(t, "who was offered it before", err, "unknown_offer")
	_, code := s.invite(id, 1, "friend@example.org", "owner")
	s.others.emails[9] = "friend@example.org"
	by := s.by(3)
	for range 2 {
		if m, err := s.Accept(ctx, by, id); err != nil || m.Role != "owner" {
			t.Errorf("%+v, %v", m, err)
		}
	}
	_, err = s.Accept(ctx, s.by(3), id)
	refused(t, "a second time", err, "unknown_offer")
	_, err = s.Join(ctx, s.by(9), code)
	refused(t, "whom the owner of before has invited", err, "invitation_refused")
	if got := s.people(id, 2); got != "1 member, 2 member, 3 owner, 4 owner" {
		t.Errorf("the people are %s", got)
	}
	if got := s.events(id); got != "1 owner, 2 member, 3 member, 4 owner, 3 owner, 1 member" {
		t.Errorf("the events tell of %s", got)
	}
	s.work()
	for _, want := range []string{"owner_offered 2", "owner_offered 3", "owner_changed 1", "owner_changed 3"} {
		if !slices.Contains(s.others.told, want) {
			t.Errorf("told: %v, want %s", s.others.told, want)
		}
	}
}

// TestOfferEnds: with its time, and with what both are in the seller.
func TestOfferEnds(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	id := s.opened(1)
	s.hire(id, 1, 2, "member")
	s.hire(id, 1, 3, "owner")
	offer := func() {
		t.Helper()
		if _, err := s.Offer(ctx, s.by(1), id, 2); err != nil {
			t.Fatal(err)
		}
	}
	offer()
	s.exec(id, "UPDATE seller_offers__ SET ends_at = NOW(3) WHERE seller_id = ?", id)
	_, err := s.Accept(ctx, s.by(2), id)
	refused(t, "when its time is over", err, "unknown_offer")
	offer()
	for range 2 {
		if err := s.EndOffer(ctx, s.by(1), id); err != nil {
			t.Error(err)
		}
	}
	_, err = s.Accept(ctx, s.by(2), id)
	refused(t, "what was taken back", err, "unknown_offer")
	offer()
	back := s.by(1)
	for _, then := range []func(){offer, func() {}} { // a late repetition ends no other offer
		if err := s.EndOffer(ctx, back, id); err != nil {
			t.Error(err)
		}
		then()
	}
	if _, err := s.Offered(ctx, 1, id); err != nil {
		t.Errorf("after a repetition: %v", err)
	}
	if err := s.Remove(ctx, s.by(3), id, 1); err != nil {
		t.Fatal(err)
	}
	_, err = s.Accept(ctx, s.by(2), id)
	refused(t, "of who was removed", err, "unknown_offer")
	if got := s.people(id, 2); got != "2 member, 3 owner" {
		t.Errorf("the people are %s", got)
	}
}

// TestAcceptOrLeave has the owner leave and the member accept at once: one is always an owner.
func TestAcceptOrLeave(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	for range 5 {
		id := s.opened(1)
		s.hire(id, 1, 2, "member")
		if _, err := s.Offer(ctx, s.by(1), id, 2); err != nil {
			t.Fatal(err)
		}
		var group errgroup.Group
		group.Go(func() error { _, err := s.Accept(ctx, s.by(2), id); return err })
		group.Go(func() error {
			if err := s.Remove(ctx, s.by(1), id, 1); codeOf(err) != "" && codeOf(err) != "wrong_state" {
				return err
			}
			return nil
		})
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
		all, err := s.Members(ctx, seller.Reader{User: 2}, id)
		if err != nil || !slices.ContainsFunc(all, func(m seller.Member) bool { return m.User == 2 && m.Role == "owner" }) {
			t.Errorf("%+v, %v", all, err)
		}
	}
}
