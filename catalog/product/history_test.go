package product_test

import (
	"fmt"
	"testing"

	"sluice/catalog/internal/web"
	"sluice/catalog/product"
	"sluice/core/shard"
)

// TestOldVersions: of a thousand versions each can be restored. Of those before them, the moves are left.
func TestOldVersions(t *testing.T) {
	t.Parallel()
	s, category := stocked(t)
	ctx := t.Context()
	of := s.whole(category)
	of = s.done(s.MoveProduct(ctx, s.as(11), mine, of.ID, web.Version(of.Version), product.StageInReview))
	s.done(s.Claim(ctx, s.as(31), of.ID))
	of = s.done(s.Decide(ctx, s.as(31), of.ID, web.Version(of.Version), product.Decision{Approve: true, Reason: "good"}))
	p := s.databases.At(shard.OfProduct(of.ID))
	in := p.In(p.Writer())
	// As many changes of the text as would take minutes one by one.
	for _, statement := range []string{
		"INSERT INTO product_changes__ (product_id, version, part, was, became, at, actor) SELECT product_id, seq, 'text.en', '{\"title\":\"a\"}', '{\"title\":\"b\"}', NOW(3), 'shopper:11' FROM products__, seq_6_to_1198 WHERE product_id = ?",
		"UPDATE products__ SET version = 1198 WHERE product_id = ?",
	} {
		if _, err := in.ExecContext(ctx, statement, of.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, title := range []string{"1199", "1200", "1201"} {
		of = s.done(s.SetText(ctx, s.as(11), mine, of.ID, web.Version(max(of.Version, 1198)), "en", product.Text{Title: title}))
	}
	if got := s.count(p, "product_changes__ WHERE version <= 200"); got != 2 {
		t.Errorf("%d changes of old versions are left, want the moves to a review and from it", got)
	}
	if got := s.count(p, "product_changes__ WHERE version > 200"); got != 1001 {
		t.Errorf("%d changes of versions are left", got)
	}
	if _, err := s.Restore(ctx, s.as(11), mine, of.ID, web.Version(of.Version), of.Version-1001); codeOf(err) != "unknown_version" {
		t.Errorf("one that is too old: %v", err)
	}
	restored := s.done(s.Restore(ctx, s.as(11), mine, of.ID, web.Version(of.Version), of.Version-1000))
	if got := s.shown(of.ID); got.Texts["en"].Title != "a" || got.Version != restored.Version {
		t.Errorf("restored to %+v", got)
	}
}

// TestErasedUsersAreForgotten in all places; answers to others stay.
func TestErasedUsersAreForgotten(t *testing.T) {
	t.Parallel()
	s, category := stocked(t)
	for range 20 {
		s.done(s.MakeProduct(t.Context(), s.as(11), mine, shirt(category)))
		s.done(s.MakeProduct(t.Context(), s.as(12), theirs, shirt(category)))
	}
	for range 2 {
		if err := s.Forget(t.Context(), 11); err != nil {
			t.Fatal(err)
		}
	}
	left := map[int]int{}
	for _, p := range s.databases.All(shard.Products) {
		for _, user := range []int{11, 12} {
			left[user] += s.count(p, fmt.Sprint("product_replays__ WHERE user_id = ", user))
		}
	}
	if left[11] != 0 || left[12] != 20 {
		t.Errorf("answers are left, by user: %v", left)
	}
}
