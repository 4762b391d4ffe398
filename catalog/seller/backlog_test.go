package seller_test

import (
	"testing"
	"time"

	"sluice/catalog/internal/queue"
	"sluice/core/ids"
	"sluice/core/shard"
)

// TestBacklog counts what waits in all places, and for how long: what is held waits for its assessment, and for no review.
func TestBacklog(t *testing.T) {
	t.Parallel()
	s := newSellersBy(t, byCountry)
	for user, country := range map[int64]string{41: "YY", 42: "ZZ", 43: "DE", 44: "DE"} {
		of, err := s.applyFrom(ids.User(user), country)
		if err == nil && user == 44 {
			_, err = s.Claim(t.Context(), s.by(901), of.ID) // claimed it waits all the same
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range s.databases.All(shard.Values) {
		for _, statement := range []string{
			"UPDATE sellers__ SET applied_at = applied_at - INTERVAL 1 HOUR WHERE applicant = 44",
			"UPDATE assess_answers__ SET made_at = made_at - INTERVAL 2 HOUR WHERE answer = 'hold'",
		} {
			if _, err := p.In(p.Writer()).ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	f := func(what string, found map[string]queue.Waiting, err error, want map[string]queue.Waiting) {
		t.Helper()
		if err != nil {
			t.Fatal(what, err)
		}
		for name, w := range want {
			if got := found[name]; got.Cases != w.Cases || got.Oldest < w.Oldest || got.Oldest > w.Oldest+time.Hour/2 || len(found) != len(want) {
				t.Errorf("%s: %+v, want %+v", what, found, want)
			}
		}
	}
	assessed, err := s.assess.Backlog(t.Context())
	f("assessments", assessed, err, map[string]queue.Waiting{"application_hold": {Cases: 1, Oldest: 2 * time.Hour}, "application_challenge": {Cases: 1, Oldest: 0}})
	reviewed, err := s.Backlog(t.Context())
	f("reviews", reviewed, err, map[string]queue.Waiting{"seller_review": {Cases: 3, Oldest: time.Hour}})
}
