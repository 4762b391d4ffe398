package assess_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/account/audit"
	"sluice/catalog/assess"
	"sluice/core/problem"
)

func refused(t *testing.T, what string, err error, code string) {
	t.Helper()
	var p *problem.Problem
	if !errors.As(err, &p) || p.Kind.Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func (d *desk) claim(c assess.Case, by audit.Author) assess.Review {
	d.t.Helper()
	r, err := d.Claim(d.t.Context(), c, by)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// forget ends the time of a claim.
func (d *desk) forget(c assess.Case) {
	d.t.Helper()
	p := d.at(c.Subject)
	if _, err := p.In(p.Writer()).ExecContext(d.t.Context(), "UPDATE assess_answers__ SET claim_ends = NOW(3) WHERE subject = ?", c.Subject); err != nil {
		d.t.Fatal(err)
	}
}

func TestReview(t *testing.T) {
	t.Parallel()
	d, ctx := newDesk(t, byRegion), t.Context()
	d.passes(1, "ho")
	d.passes(2, "ch")
	d.passes(3, "eu")
	d.passes(4, "de")
	good := assess.Decision{Allowed: true, Reason: "she has called"}

	for _, c := range []assess.Case{signUp(3), signUp(4), signUp(9), {Moment: assess.Application, Subject: 1}} {
		_, err := d.Claim(ctx, c, amy)
		refused(t, "claim of "+c.String(), err, "unknown_assessment")
		_, err = d.Decide(ctx, c, good, amy)
		refused(t, "decision of "+c.String(), err, "unknown_assessment")
	}
	_, err := d.Decide(ctx, signUp(1), good, amy)
	refused(t, "decision without a claim", err, "wrong_state")

	r := d.claim(signUp(1), amy)
	if r.ClaimedBy != "admin:1" || r.ClaimEnds.IsZero() || r.Answer != assess.Hold || r.Rule != "held" || r.State != "waiting" || !cmp.Equal(r.Facts, []assess.Fact{assess.Region}) {
		t.Errorf("%+v", r)
	}
	if longer := d.claim(signUp(1), amy); longer.ClaimEnds.Before(r.ClaimEnds) {
		t.Errorf("claimed until %v, again until %v", r.ClaimEnds, longer.ClaimEnds)
	}
	_, err = d.Claim(ctx, signUp(1), bob)
	refused(t, "claim of what somebody else has", err, "wrong_state")
	_, err = d.Decide(ctx, signUp(1), good, bob)
	refused(t, "decision of what somebody else has", err, "wrong_state")
	for _, reason := range []string{"", "a\nb", strings.Repeat("x", 201), "a\u202eb"} {
		_, err = d.Decide(ctx, signUp(1), assess.Decision{Allowed: true, Reason: reason}, amy)
		refused(t, "reason "+reason, err, "malformed")
	}

	d.forget(signUp(1))
	_, err = d.Decide(ctx, signUp(1), good, amy)
	refused(t, "decision behind the end of the claim", err, "wrong_state")
	d.claim(signUp(1), bob)
	_, err = d.Decide(ctx, signUp(1), good, amy)
	refused(t, "decision with a claim that is over", err, "wrong_state")

	for range 2 { // the second one is a repetition
		r, err = d.Decide(ctx, signUp(1), good, bob)
		if err != nil || r.State != "allowed" || r.DecidedBy != "admin:2" || r.Reason != good.Reason || r.DecidedAt.IsZero() || r.ClaimedBy != "" {
			t.Errorf("%+v, %v", r, err)
		}
	}
	_, err = d.Decide(ctx, signUp(1), assess.Decision{Reason: good.Reason}, bob)
	refused(t, "another decision", err, "wrong_state")
	_, err = d.Claim(ctx, signUp(1), amy)
	refused(t, "claim of what is decided", err, "wrong_state")

	d.claim(signUp(2), amy)
	d.fault = &problem.Problem{Kind: problem.WrongState, Detail: "the user is erased"}
	_, err = d.Decide(ctx, signUp(2), assess.Decision{Reason: "a robot"}, amy)
	refused(t, "decision whose effect fails", err, "wrong_state")
	if got := d.queue(); !cmp.Equal(got, []string{"sign_up.2"}) {
		t.Errorf("%q wait", got)
	}
	d.fault = nil
	if _, err := d.Decide(ctx, signUp(2), assess.Decision{Reason: "a robot"}, amy); err != nil {
		t.Error(err)
	}
	_, err = d.Decide(ctx, signUp(2), good, bob)
	refused(t, "a denial taken back without a claim", err, "wrong_state")
	d.claim(signUp(2), bob)
	_, err = d.Decide(ctx, signUp(2), assess.Decision{Reason: "a robot indeed"}, bob)
	refused(t, "another denial", err, "wrong_state")
	if r, err = d.Decide(ctx, signUp(2), good, bob); err != nil || r.State != "allowed" {
		t.Errorf("%+v, %v", r, err)
	}
	if diff := cmp.Diff([]string{"sign_up.1 hold true\n", "sign_up.2 challenge false\n", "sign_up.2 challenge false\n", "sign_up.2 challenge true\n"}, d.decided); diff != "" {
		t.Error(diff)
	}
	d.audited()
}

// audited checks that each decision is written down once, with its reason.
func (d *desk) audited() {
	d.t.Helper()
	entries, _, err := audit.NewReader(d.databases).Search(d.t.Context(), audit.Filter{}, audit.Page{Limit: 10})
	if err != nil {
		d.t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, strings.Join([]string{e.Actor, e.Act, e.Object, e.Why, string(e.Changes)}, " "))
	}
	want := []string{
		`admin:2 review.decide user:2 she has called [{"name":"sign_up","before":"denied","after":"allowed"}]`,
		`admin:1 review.decide user:2 a robot [{"name":"sign_up","before":"challenge","after":"denied"}]`,
		`admin:2 review.decide user:1 she has called [{"name":"sign_up","before":"hold","after":"allowed"}]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		d.t.Error(diff)
	}
}

// Of many who want a case at once, one has it.
func TestClaimsAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t, byRegion)
	d.passes(1, "ho")
	var group errgroup.Group
	won := make(chan string, 8)
	for n := range int64(8) {
		group.Go(func() error {
			actor := audit.Of("admin", n+1)
			_, err := d.Claim(t.Context(), signUp(1), audit.Author{Actor: actor})
			if err == nil {
				won <- actor
				return nil
			}
			var p *problem.Problem
			if !errors.As(err, &p) || p.Kind.Code != "wrong_state" {
				return err
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if len(won) != 1 {
		t.Errorf("%d have it", len(won))
	}
}
