package seller_test

import (
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"sluice/catalog/internal/web"
	"sluice/catalog/seller"
	"sluice/core/ids"
)

// TestApprovalsOfWhoHasLeft: an approval counts while who gave it may still review.
func TestApprovalsOfWhoHasLeft(t *testing.T) {
	t.Parallel()
	s := newSellers(t)
	id := s.apply(1)
	s.approve(901, id)
	s.others.mu.Lock()
	s.others.left = map[ids.User]bool{901: true}
	s.others.mu.Unlock()
	if of := s.approve(902, id); of.State != seller.StateInReview {
		t.Errorf("it is %s by one who may review", of.State)
	}
	if r, err := s.Review(t.Context(), id); err != nil || !slices.Equal(r.Approvals, []ids.User{902}) {
		t.Errorf("approved by %v, %v", r.Approvals, err)
	}
	if of := s.approve(903, id); of.State != seller.StateOpen {
		t.Errorf("it is %s by two", of.State)
	}
}

// TestDecisionsAreAboutAVersion: who decides has seen what is decided about.
func TestDecisionsAreAboutAVersion(t *testing.T) {
	t.Parallel()
	s := newSellers(t)
	id := s.apply(1)
	seen, err := s.Review(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	changed := application
	changed.LicenceNo = "HRB 2"
	if _, err := s.Change(t.Context(), s.by(1), id, web.Version(seen.Version), changed); err != nil {
		t.Fatal(err)
	}
	claimed, err := s.Claim(t.Context(), s.by(901), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []seller.Decision{{Approve: true, Reason: "good"}, {Reason: "bad"}} {
		if _, err := s.Decide(t.Context(), s.by(901), id, web.Version(seen.Version), d); codeOf(err) != "changed_since" {
			t.Errorf("%+v: %v", d, err)
		}
	}
	if _, err := s.Decide(t.Context(), s.by(901), id, web.Version(claimed.Version), seller.Decision{Reason: "bad"}); err != nil {
		t.Error(err)
	}
}

// TestApplicationsAtOnce: however many of a user come at once, five wait.
func TestApplicationsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSellers(t)
	var made atomic.Int64
	var group errgroup.Group
	for range 20 {
		group.Go(func() error {
			by := s.by(42)
			for {
				switch _, err := s.Apply(t.Context(), by, application); codeOf(err) {
				case "in_progress":
					continue
				case "wrong_state":
					return nil
				default:
					made.Add(1)
					return err
				}
			}
		})
	}
	if err := group.Wait(); err != nil || made.Load() != 5 {
		t.Errorf("%d were made, %v", made.Load(), err)
	}
}
