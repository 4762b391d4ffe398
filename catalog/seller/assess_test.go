package seller_test

import (
	"strings"
	"testing"

	"sluice/catalog/account/audit"
	"sluice/catalog/assess"
	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/web"
	"sluice/catalog/seller"
	"sluice/core/ids"
	"sluice/core/shard"
)

// byCountry are rules under which the country of who applies decides, and what became of those before.
const byCountry = `{"rules": [
	{"name": "denied", "at": ["application"], "when": {"country": {"in": ["XX"]}}, "then": "deny"},
	{"name": "held", "at": ["application"], "when": {"country": {"in": ["YY"]}}, "then": "hold"},
	{"name": "challenged", "at": ["application"], "when": {"country": {"in": ["ZZ"]}}, "then": "challenge"},
	{"name": "rejected", "at": ["application"], "when": {"rejections_before": {"above": 0}, "applications_before": {"above": 1}}, "then": "hold"},
	{"name": "young", "at": ["application"], "when": {"account_age_hours": {"below": 10}}, "then": "hold"}
]}`

// applyFrom applies from a country.
func (s *sellers) applyFrom(user ids.User, country string) (seller.Seller, error) {
	s.t.Helper()
	a := application
	a.Address.Country = country
	return s.Apply(s.t.Context(), s.by(user), a)
}

// waits reports whether an application is in the queue of reviews.
func (s *sellers) waits(id ids.Seller) bool {
	s.t.Helper()
	all, _, err := s.Queue(s.t.Context(), queue.Cursor{}, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, w := range all {
		if w.ID == id {
			return true
		}
	}
	return false
}

// decide decides about who applies.
func (s *sellers) decide(id ids.Seller, by string, allowed bool) error {
	s.t.Helper()
	c, author := assess.Case{Moment: assess.Application, Subject: int64(id)}, audit.Author{Actor: by}
	if _, err := s.assess.Claim(s.t.Context(), c, author); err != nil {
		return err
	}
	_, err := s.assess.Decide(s.t.Context(), c, assess.Decision{Allowed: allowed, Reason: "a test"}, author)
	return err
}

// history are the states of a seller, and who moved it last.
func (s *sellers) history(id ids.Seller) (states, actor string) {
	s.t.Helper()
	r, err := s.Review(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, m := range r.History {
		all, actor = append(all, string(m.To)), m.Actor
	}
	return strings.Join(all, " "), actor
}

// TestDeniedApplicationHasNoEffect: there is no seller, also if the request comes again.
func TestDeniedApplicationHasNoEffect(t *testing.T) {
	t.Parallel()
	s := newSellersBy(t, byCountry)
	a := application
	a.Address.Country = "XX"
	by := s.by(42)
	for range 2 {
		_, err := s.Apply(t.Context(), by, a)
		refused(t, "a denied application", err, "application_refused")
	}
	for range 5 { // as often as one likes
		_, err := s.applyFrom(42, "XX")
		refused(t, "another denied application", err, "application_refused")
	}
	if mine, _, err := s.Mine(t.Context(), 42, queue.Cursor{}, 100); err != nil || len(mine) != 0 {
		t.Errorf("%+v, %v", mine, err)
	}
	for _, p := range s.databases.All(shard.Values) {
		var kept int
		if err := p.In(p.Writer()).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM assess_answers__").Scan(&kept); err != nil || kept != 0 {
			t.Errorf("%d answers are kept, %v", kept, err)
		}
	}
}

// TestHeldApplicationWaits: nobody reviews it before a person has decided, who is nobody in it.
func TestHeldApplicationWaits(t *testing.T) {
	t.Parallel()
	s, ctx := newSellersBy(t, byCountry), t.Context()
	for _, allowed := range []bool{true, false} {
		of, err := s.applyFrom(42, "YY")
		if err != nil || of.State != seller.StateApplied {
			t.Fatal(of, err)
		}
		if s.waits(of.ID) {
			t.Error("a held application is in the queue")
		}
		_, err = s.Claim(ctx, s.by(901), of.ID)
		refused(t, "a claim of it", err, "wrong_state")
		refused(t, "its applicant", s.decide(of.ID, "support:42", true), "forbidden")
		if err := s.decide(of.ID, "support:43", allowed); err != nil {
			t.Fatal(err)
		}
		states, actor := s.history(of.ID)
		switch {
		case allowed && (!s.waits(of.ID) || states != "applied"):
			t.Errorf("allowed, and it is %s", states)
		case !allowed && (s.waits(of.ID) || states != "applied in_review rejected" || actor != "support:43"):
			t.Errorf("not allowed, and it is %s by %s", states, actor)
		}
		acts, _, err := audit.NewReader(s.databases).Search(ctx, audit.Filter{Object: "seller:" + of.ID.String()}, audit.Page{Limit: 10})
		if err != nil || len(acts) != 1 || acts[0].Act != "review.decide" {
			t.Errorf("the acts are %+v, %v", acts, err)
		}
	}
	of, err := s.applyFrom(42, "DE") // behind a rejection, and another one
	if err != nil || s.waits(of.ID) {
		t.Errorf("the past counts for nothing: %v", err)
	}
	if of, err = s.applyFrom(7, "DE"); err != nil || s.waits(of.ID) {
		t.Errorf("the age of the account counts for nothing: %v", err)
	}
	if of, err = s.applyFrom(44, "DE"); err != nil || !s.waits(of.ID) {
		t.Errorf("nobody is let pass: %v", err)
	}
}

// TestChallengedApplicationGoesOn: it can be reviewed, and who decides against it later ends it unless the seller has opened.
func TestChallengedApplicationGoesOn(t *testing.T) {
	t.Parallel()
	s, ctx := newSellersBy(t, byCountry), t.Context()
	first, err1 := s.applyFrom(42, "ZZ")
	opened, err2 := s.applyFrom(42, "ZZ")
	if err1 != nil || err2 != nil || !s.waits(first.ID) {
		t.Fatal(err1, err2)
	}
	if all, _, err := s.assess.Queue(ctx, 10, ""); err != nil || len(all) != 2 {
		t.Errorf("%d are listed, %v", len(all), err)
	}
	if _, err := s.Claim(ctx, s.by(901), first.ID); err != nil {
		t.Fatal(err)
	}
	s.open(opened.ID)
	for _, id := range []ids.Seller{first.ID, opened.ID} {
		if err := s.decide(id, "admin:1", false); err != nil {
			t.Error(err)
		}
	}
	if states, _ := s.history(first.ID); states != "applied in_review rejected" {
		t.Errorf("the first one is %s", states)
	}
	if states, _ := s.history(opened.ID); states != "applied in_review open" {
		t.Errorf("the opened one is %s", states)
	}
	_, err := s.Decide(ctx, s.by(901), first.ID, web.Version(first.Version), seller.Decision{Approve: true, Reason: "good"})
	refused(t, "the reviewer who had claimed it", err, "wrong_state")
}

// Who has been assessed for one country does not apply for another one.
func TestAssessedCountryStays(t *testing.T) {
	t.Parallel()
	s, ctx := newSellersBy(t, byCountry), t.Context()
	of, err := s.applyFrom(42, "DE")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := application
	elsewhere.Address.Country = "YY"
	_, err = s.Change(ctx, s.by(42), of.ID, web.Version(of.Version), elsewhere)
	refused(t, "another country", err, "wrong_state")
	elsewhere.Address.Country, elsewhere.LegalName = "DE", "Other Ltd"
	if _, err := s.Change(ctx, s.by(42), of.ID, web.Version(of.Version), elsewhere); err != nil {
		t.Error(err)
	}
}
