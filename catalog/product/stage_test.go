package product_test

import (
	"testing"

	"sluice/catalog/internal/web"
	"sluice/catalog/product"
)

// TestArchivedBrands: a brand that is archived stays with the products that have it. They keep changing, and those that are listed stay so. No
// product gets it, goes to a review with it, is approved with it or is listed with it.
func TestArchivedBrands(t *testing.T) {
	t.Parallel()
	s, category := stocked(t)
	ctx := t.Context()
	brand, err := s.MakeBrand(ctx, s.by(), product.Brand{Names: product.Names{"en": "Acme"}})
	if err != nil {
		t.Fatal(err)
	}
	set := func(state product.State) {
		t.Helper()
		brand.State = state
		if brand, err = s.ChangeBrand(ctx, s.by(), web.Version(brand.Version), brand); err != nil {
			t.Fatal(err)
		}
	}
	content := shirt(category)
	content.Brand = brand.ID
	var made [4]product.Product
	for i := range made {
		of := s.whole(category)
		made[i] = s.done(s.ChangeProduct(ctx, s.as(11), mine, of.ID, web.Version(of.Version), content))
	}
	to := func(of *product.Product, stage product.Stage, want string) {
		t.Helper()
		got, err := s.MoveProduct(ctx, s.as(11), mine, of.ID, web.Version(of.Version), stage)
		if err == nil {
			*of = got
		}
		if (err == nil) != (want == "") || err != nil && codeOf(err) != want {
			t.Errorf("%s to %s: %v, want %q", of.Stage, stage, err, want)
		}
	}
	decide := func(of *product.Product, want string) {
		t.Helper()
		s.done(s.Claim(ctx, s.as(31), of.ID))
		got, err := s.Decide(ctx, s.as(31), of.ID, web.Version(of.Version), product.Decision{Approve: true, Reason: "good"})
		if err == nil {
			*of = got
		}
		if (err == nil) != (want == "") || err != nil && codeOf(err) != want {
			t.Errorf("approved: %v, want %q", err, want)
		}
	}
	draft, waits, approved, listed := made[0], made[1], made[2], made[3]
	for _, of := range []*product.Product{&waits, &approved, &listed} {
		to(of, product.StageInReview, "")
	}
	if backlog, err := s.Backlog(ctx); err != nil || backlog["product_review"].Cases != 3 {
		t.Errorf("the backlog is %v, %v", backlog, err)
	}
	for _, of := range []*product.Product{&approved, &listed} {
		decide(of, "")
	}
	to(&listed, product.StageListed, "")
	set(product.StateArchived)
	content.Values["origin"] = "Spain"
	for _, of := range []*product.Product{&draft, &approved, &listed} {
		*of = s.done(s.ChangeProduct(ctx, s.as(11), mine, of.ID, web.Version(of.Version), content))
	}
	to(&draft, product.StageInReview, "incomplete")
	decide(&waits, "incomplete")
	to(&approved, product.StageListed, "incomplete")
	to(&listed, product.StageDelisted, "")
	to(&listed, product.StageListed, "incomplete")
	if _, err := s.MakeProduct(ctx, s.as(11), mine, content); codeOf(err) != "wrong_state" {
		t.Errorf("a new product: %v", err)
	}
	draft = s.done(s.ChangeProduct(ctx, s.as(11), mine, draft.ID, web.Version(draft.Version), shirt(category)))
	if _, err := s.ChangeProduct(ctx, s.as(11), mine, draft.ID, web.Version(draft.Version), content); codeOf(err) != "wrong_state" {
		t.Errorf("a product that has given it back: %v", err)
	}
	draft = s.done(s.Restore(ctx, s.as(11), mine, draft.ID, web.Version(draft.Version), draft.Version-1))
	to(&draft, product.StageInReview, "incomplete")
	set(product.StateActive)
	to(&draft, product.StageInReview, "")
	decide(&waits, "")
	to(&listed, product.StageListed, "")
}
