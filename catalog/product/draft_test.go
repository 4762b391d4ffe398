package product_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/web"
	"sluice/catalog/product"
	"sluice/catalog/seller"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

// sellers are open, and have one person each. Seller 99 is suspended, and is everybody's.
type sellers struct{ open map[ids.Seller]ids.User }

var errNobody = &problem.Problem{Kind: problem.NewKind(problem.Kind{Code: "unknown_seller", Status: 404})}

// Admit implements product.Sellers.
func (s sellers) Admit(_ context.Context, by seller.Reader, id ids.Seller) (seller.State, error) {
	switch {
	case id == 99:
		return seller.StateSuspended, nil
	case s.open[id] == 0 || s.open[id] != by.User:
		return "", errNobody
	}
	return seller.StateOpen, nil
}

// StateOf implements product.Sellers.
func (s sellers) StateOf(_ context.Context, id ids.Seller) (seller.State, error) {
	if id == 99 {
		return seller.StateSuspended, nil
	}
	return seller.StateOpen, nil
}

// Selling implements product.Sellers.
func (s sellers) Selling(_ context.Context, some []ids.Seller) (map[ids.Seller]bool, error) {
	all := map[ids.Seller]bool{}
	for _, id := range some {
		all[id] = id != 99
	}
	return all, nil
}

const (
	mine   ids.Seller = 1
	theirs ids.Seller = 2
)

// as is a user who asks under a new key.
func (s *shop) as(user ids.User) product.Caller {
	by := s.by()
	by.User, by.Actor = user, audit.Of("shopper", int64(user))
	return by
}

// stocked is a shop with a category of shirts, and two sellers with one person each.
func stocked(t *testing.T) (s *shop, shirts ids.Category) {
	t.Helper()
	s = newShop(t)
	s.sellers.open[mine], s.sellers.open[theirs] = 11, 12
	of := s.category(0, "Shirts")
	for _, a := range []product.Attribute{
		{Code: "size", Kind: product.KindChoice, Names: product.Names{"en": "Size"}, Choices: []product.Choice{{Code: "s", Names: product.Names{"en": "S"}}, {Code: "m", Names: product.Names{"en": "M"}}}},
		{Code: "origin", Kind: product.KindText, Required: true, Names: product.Names{"en": "Origin"}},
	} {
		var err error
		if of, err = s.SetAttribute(t.Context(), s.by(), of.ID, web.Version(of.Version), a); err != nil {
			t.Fatal(err)
		}
	}
	return s, of.ID
}

func shirt(category ids.Category) product.Content {
	return product.Content{Category: category, Tax: "standard", Options: []string{"size"}, Values: map[string]string{"origin": "Portugal"}}
}

func sized(n int, size string) product.SKU {
	return product.SKU{N: n, State: product.StateActive, Options: map[string]string{"size": size}, Grams: 200, Size: product.Size{Length: 300, Width: 200, Height: 20}}
}

// done is the product after something that has to succeed.
func (s *shop) done(of product.Product, err error) product.Product {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return of
}

// whole makes a product that lacks nothing.
func (s *shop) whole(category ids.Category) product.Product {
	s.t.Helper()
	of := s.done(s.MakeProduct(s.t.Context(), s.as(11), mine, shirt(category)))
	of = s.done(s.SetText(s.t.Context(), s.as(11), mine, of.ID, web.Version(of.Version), "en", product.Text{Title: "Shirt"}))
	return s.done(s.SetSKU(s.t.Context(), s.as(11), mine, of.ID, web.Version(of.Version), sized(-1, "s")))
}

func (s *shop) shown(id ids.Product) product.Whole {
	s.t.Helper()
	w, err := s.OfSeller(s.t.Context(), seller.Reader{User: 11}, mine, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// TestProductsAreInTheirPlaces makes products at once, in two processes. Each has an id of its own in the range of its shard, and its rows are
// in that place alone. A repetition makes none.
func TestProductsAreInTheirPlaces(t *testing.T) {
	t.Parallel()
	s, category := stocked(t)
	processes := []*product.Products{s.Products, s.process()}
	const each = 60
	made := make([]ids.Product, 2*each)
	var making errgroup.Group
	for n, p := range processes {
		making.Go(func() error {
			for i := range each {
				by := s.as(11)
				first, err := p.MakeProduct(t.Context(), by, mine, shirt(category))
				if err != nil {
					return err
				}
				again, err := processes[1-n].MakeProduct(t.Context(), by, mine, shirt(category))
				if err != nil || again.ID != first.ID {
					return fmt.Errorf("made %s, and again %s, %w", first.ID, again.ID, err)
				}
				made[n*each+i] = first.ID
			}
			return nil
		})
	}
	if err := making.Wait(); err != nil {
		t.Fatal(err)
	}
	want, seen := map[string]int{}, map[ids.Product]bool{}
	for _, id := range made {
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		want[s.databases.At(shard.OfProduct(id)).Name]++
	}
	for _, p := range s.databases.All(shard.Products) {
		if got := s.count(p, "products__"); got != want[p.Name] || got == 0 {
			t.Errorf("%s has %d products, want %d", p.Name, got, want[p.Name])
		}
	}
}

// TestOnlyPeopleOfAnOpenSellerChangeItsProducts: whoever is nobody in the seller finds nothing, and no other seller reaches a product by its
// id.
func TestOnlyPeopleOfAnOpenSellerChangeItsProducts(t *testing.T) {
	t.Parallel()
	s, category := stocked(t)
	of := s.whole(category)
	ctx, from := t.Context(), web.Version(of.Version)
	for what, err := range map[string]error{
		"unknown_seller make":     second(s.MakeProduct(ctx, s.as(12), mine, shirt(category))),
		"wrong_state make":        second(s.MakeProduct(ctx, s.as(11), 99, shirt(category))),
		"unknown_seller change":   second(s.ChangeProduct(ctx, s.as(12), mine, of.ID, from, shirt(category))),
		"unknown_product change":  second(s.ChangeProduct(ctx, s.as(12), theirs, of.ID, from, shirt(category))),
		"unknown_product text":    second(s.SetText(ctx, s.as(12), theirs, of.ID, from, "en", product.Text{Title: "x"})),
		"unknown_product SKU":     second(s.SetSKU(ctx, s.as(12), theirs, of.ID, from, sized(0, "m"))),
		"unknown_product restore": second(s.Restore(ctx, s.as(12), theirs, of.ID, from, 1)),
		"unknown_product move":    second(s.MoveProduct(ctx, s.as(12), theirs, of.ID, from, product.StageArchived)),
		"unknown_product show":    second(s.OfSeller(ctx, seller.Reader{User: 12}, theirs, of.ID)),
		"unknown_seller show":     second(s.OfSeller(ctx, seller.Reader{User: 12}, mine, of.ID)),
		"changed_since change":    second(s.ChangeProduct(ctx, s.as(11), mine, of.ID, from-1, shirt(category))),
	} {
		if want, _, _ := strings.Cut(what, " "); codeOf(err) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := s.Versions(ctx, seller.Reader{User: 12}, theirs, of.ID, 0, 10); codeOf(err) != "unknown_product" {
		t.Errorf("its versions: %v", err)
	}
	if got := s.shown(of.ID); got.Version != of.Version {
		t.Errorf("a refusal has changed it: %+v", got)
	}
}

func second[T any](_ T, err error) error { return err }

// TestVersionsAndRestorations changes all parts of a product, and makes it what it was. All of that is in its versions.
func TestVersionsAndRestorations(t *testing.T) {
	t.Parallel()
	s, category := stocked(t)
	of := s.whole(category)
	before := s.shown(of.ID)
	ctx := t.Context()
	next := func(of product.Product, err error) web.Version {
		t.Helper()
		return web.Version(s.done(of, err).Version)
	}
	content := shirt(category)
	content.Values["origin"] = "Spain"
	at := next(s.ChangeProduct(ctx, s.as(11), mine, of.ID, web.Version(of.Version), content))
	at = next(s.ChangeProduct(ctx, s.as(11), mine, of.ID, at, content)) // nothing new is no version
	at = next(s.SetText(ctx, s.as(11), mine, of.ID, at, "de", product.Text{Title: "Hemd", Description: "Aus Baumwolle.\n\nBügelfrei."}))
	at = next(s.RemoveText(ctx, s.as(11), mine, of.ID, at, "en"))
	heavy := sized(0, "s")
	heavy.Grams = 300
	at = next(s.SetSKU(ctx, s.as(11), mine, of.ID, at, heavy))
	at = next(s.SetSKU(ctx, s.as(11), mine, of.ID, at, sized(-1, "m")))
	if at != web.Version(of.Version)+5 {
		t.Errorf("five changes make version %v of %d", at, of.Version)
	}
	key := s.as(11)
	restored := s.done(s.Restore(ctx, key, mine, of.ID, at, of.Version))
	again := s.done(s.Restore(ctx, key, mine, of.ID, at, of.Version))
	got := s.shown(of.ID)
	if restored.Version != int64(at)+1 || again.Version != restored.Version || got.Version != restored.Version {
		t.Errorf("restored to %+v, and again %+v", restored, again)
	}
	if fmt.Sprint(got.Content, got.Texts) != fmt.Sprint(before.Content, before.Texts) || len(got.SKUs) != 2 || fmt.Sprint(got.SKUs[0]) != fmt.Sprint(before.SKUs[0]) || got.SKUs[1].State != product.StateArchived {
		t.Errorf("restored to %+v, want %+v", got, before)
	}
	var versions []product.Changed
	for before, more := int64(0), true; more; {
		page, next, err := s.Versions(ctx, seller.Reader{User: 11}, mine, of.ID, before, 6)
		if err != nil {
			t.Fatal(err)
		}
		versions, before, more = append(versions, page...), next, next != 0
	}
	if len(versions) != 3+5+5 || versions[0].Version != restored.Version || versions[len(versions)-1].Version != 1 || versions[0].Actor != "shopper:11" {
		t.Errorf("%d changes: %+v", len(versions), versions)
	}
	undone := s.done(s.Restore(ctx, s.as(11), mine, of.ID, web.Version(restored.Version), int64(at)))
	if got := s.shown(of.ID); got.Version != undone.Version || got.Values["origin"] != "Spain" || got.Texts["de"].Title != "Hemd" || got.SKUs[1].State != product.StateActive || got.SKUs[0].Grams != 300 {
		t.Errorf("undone: %+v", got)
	}
	for _, version := range []int64{0, -1, undone.Version, undone.Version + 1} {
		if _, err := s.Restore(ctx, s.as(11), mine, of.ID, web.Version(undone.Version), version); codeOf(err) != "unknown_version" {
			t.Errorf("version %d: %v", version, err)
		}
	}
	events := s.count(s.databases.At(shard.OfProduct(of.ID)), "product_outbox__ WHERE type = 'product_changed'")
	if events != int(undone.Version) {
		t.Errorf("%d events of %d versions", events, undone.Version)
	}
}

// TestWayOfAProduct goes from a draft over a rejection to shoppers and back. Two reviewers claim at once, and one of them has it.
func TestWayOfAProduct(t *testing.T) {
	t.Parallel()
	s, category := stocked(t)
	ctx := t.Context()
	of := s.done(s.MakeProduct(ctx, s.as(11), mine, shirt(category)))
	move := func(to product.Stage, want string) {
		t.Helper()
		got, err := s.MoveProduct(ctx, s.as(11), mine, of.ID, web.Version(of.Version), to)
		if codeOf(err) != want || err != nil && want == "" {
			t.Fatalf("to %s: %v, want %q", to, err, want)
		}
		if err == nil {
			of = got
		}
	}
	yes := product.Decision{Approve: true, Reason: "good"}
	move(product.StageInReview, "incomplete")
	of = s.whole(category)
	move(product.StageListed, "wrong_state")
	move(product.StageInReview, "")
	if _, err := s.SetText(ctx, s.as(11), mine, of.ID, web.Version(of.Version), "en", product.Text{Title: "x"}); codeOf(err) != "wrong_state" {
		t.Errorf("a change in review: %v", err)
	}
	if waiting, _, err := s.Queue(ctx, queue.Cursor{}, 10); err != nil || len(waiting) != 1 || waiting[0].ID != of.ID {
		t.Errorf("the queue has %v, %v", waiting, err)
	}
	if _, err := s.Claim(ctx, s.as(11), of.ID); codeOf(err) != "own_seller" {
		t.Errorf("a person of the seller claims: %v", err)
	}
	if _, err := s.Decide(ctx, s.as(31), of.ID, web.Version(of.Version), yes); codeOf(err) != "wrong_state" {
		t.Errorf("a decision without a claim: %v", err)
	}
	s.done(s.Claim(ctx, s.as(31), of.ID))
	s.done(s.Claim(ctx, s.as(31), of.ID))
	if _, err := s.Claim(ctx, s.as(32), of.ID); codeOf(err) != "review_claimed" {
		t.Errorf("a second claim: %v", err)
	}
	if waiting, _, err := s.Queue(ctx, queue.Cursor{}, 10); err != nil || len(waiting) != 0 {
		t.Errorf("the queue has %v, %v", waiting, err)
	}
	if _, err := s.Decide(ctx, s.as(31), of.ID, web.Version(of.Version-1), yes); codeOf(err) != "changed_since" {
		t.Errorf("a decision about an old version: %v", err)
	}
	of = s.done(s.Decide(ctx, s.as(31), of.ID, web.Version(of.Version), product.Decision{Reason: "the text says nothing"}))
	move(product.StageInReview, "wrong_state")
	move(product.StageDraft, "")
	move(product.StageInReview, "")
	s.done(s.Claim(ctx, s.as(32), of.ID))
	of = s.done(s.Decide(ctx, s.as(32), of.ID, web.Version(of.Version), yes))
	move(product.StageListed, "")
	if _, err := s.RemoveText(ctx, s.as(11), mine, of.ID, web.Version(of.Version), "en"); codeOf(err) != "incomplete" {
		t.Errorf("a listed product without a text: %v", err)
	}
	other := shirt(category)
	other.Options = nil
	if _, err := s.ChangeProduct(ctx, s.as(11), mine, of.ID, web.Version(of.Version), other); codeOf(err) != "wrong_state" {
		t.Errorf("other options of a product that was approved: %v", err)
	}
	for code, by := range map[string]ids.User{"own_seller": 11, "changed_since": 33} {
		if _, err := s.OverruleProduct(ctx, s.as(by), of.ID, web.Version(of.Version-1), product.StageDelisted, "x"); codeOf(err) != code {
			t.Errorf("a move of %d: %v, want %s", by, err, code)
		}
	}
	of = s.done(s.OverruleProduct(ctx, s.as(33), of.ID, web.Version(of.Version), product.StageDelisted, "complaint 4711"))
	again := s.done(s.OverruleProduct(ctx, s.as(33), of.ID, web.Version(of.Version-1), product.StageDelisted, "complaint 4711"))
	if again.Version != of.Version {
		t.Errorf("moved to %+v, which it is already", again)
	}
	move(product.StageListed, "")
	move(product.StageArchived, "")
	move(product.StageListed, "wrong_state")
	p := s.databases.At(shard.OfProduct(of.ID))
	if got := s.count(p, "audit_entries__ WHERE act IN ('product.claim', 'product.approve', 'product.reject', 'product.move')"); got != 6 {
		t.Errorf("%d acts, want 3 claims, 2 decisions and a move", got)
	}
	if got := s.stages(p, of.ID); got != `"in_review" "rejected" "draft" "in_review" "approved" "listed" "delisted" "listed" "archived"` {
		t.Errorf("its stages were %s", got)
	}
}

// stages are those that a product has had.
func (s *shop) stages(p place.Place, id ids.Product) (all string) {
	s.t.Helper()
	const query = "SELECT GROUP_CONCAT(became ORDER BY version SEPARATOR ' ') FROM product_changes__ WHERE product_id = ? AND part = 'stage'"
	if err := p.In(p.Writer()).QueryRowContext(s.t.Context(), query, id).Scan(&all); err != nil {
		s.t.Fatal(err)
	}
	return all
}

// TestRestorationsAskWhatComesOfThem: what is there twice on the way only is no fault: codes that were exchanged, and texts of which there are
// as many as there may be before and after.
func TestRestorationsAskWhatComesOfThem(t *testing.T) {
	t.Parallel()
	s, category := stocked(t)
	ctx := t.Context()
	of := s.whole(category)
	coded := func(n int, size, code string) product.SKU {
		sku := sized(n, size)
		sku.Code = code
		return sku
	}
	set := func(sku product.SKU) {
		t.Helper()
		of = s.done(s.SetSKU(ctx, s.as(11), mine, of.ID, web.Version(of.Version), sku))
	}
	text := func(locale string) {
		t.Helper()
		of = s.done(s.SetText(ctx, s.as(11), mine, of.ID, web.Version(of.Version), locale, product.Text{Title: locale}))
	}
	remove := func(locale string) {
		t.Helper()
		of = s.done(s.RemoveText(ctx, s.as(11), mine, of.ID, web.Version(of.Version), locale))
	}
	set(coded(0, "s", "A"))
	set(coded(-1, "m", "B"))
	for i := range 19 {
		text(fmt.Sprintf("a%c", 'a'+i))
	}
	then := s.shown(of.ID)
	set(coded(0, "s", "C"))
	set(coded(1, "m", "A"))
	set(coded(0, "s", "B"))
	for i := range 10 {
		remove(fmt.Sprintf("a%c", 'a'+i))
		text(fmt.Sprintf("b%c", 'a'+i))
	}
	of = s.done(s.Restore(ctx, s.as(11), mine, of.ID, web.Version(of.Version), then.Version))
	if got := s.shown(of.ID); fmt.Sprint(got.SKUs, got.Texts) != fmt.Sprint(then.SKUs, then.Texts) {
		t.Errorf("restored to %v, want %v", got, then)
	}
}

// TestGoods: other packages learn of products in all places what they are, and whether shoppers see them.
func TestGoods(t *testing.T) {
	t.Parallel()
	s, category := stocked(t)
	top := s.category(0, "Clothes")
	deep := s.category(top.ID, "Socks")
	var all []ids.Product
	for range 6 {
		all = append(all, s.whole(category).ID)
	}
	plain := s.done(s.MakeProduct(t.Context(), s.as(11), mine, product.Content{Category: deep.ID, Tax: "reduced"}))
	for _, p := range s.databases.All(shard.Products) {
		if _, err := p.In(p.Writer()).ExecContext(t.Context(), "UPDATE products__ SET stage = 'listed' WHERE product_id <> ?", all[1]); err != nil {
			t.Fatal(err)
		}
		if _, err := p.In(p.Writer()).ExecContext(t.Context(), "UPDATE products__ SET seller_id = 99 WHERE product_id = ?", all[2]); err != nil {
			t.Fatal(err)
		}
	}
	goods, err := s.GoodsOf(t.Context(), append(all, plain.ID, 4711)...)
	if err != nil || len(goods) != 7 {
		t.Fatalf("%v, %v", goods, err)
	}
	for i, id := range all {
		g := goods[id]
		if g.Shown != (i != 1 && i != 2) || g.Tax != "standard" || !g.Active(0) || g.Active(1) || len(g.Categories) != 1 {
			t.Errorf("product %d is %+v", i, g)
		}
	}
	if g := goods[plain.ID]; g.Seller != mine || g.Tax != "reduced" || len(g.SKUs) != 0 || fmt.Sprint(g.Categories) != fmt.Sprint([]ids.Category{top.ID, deep.ID}) {
		t.Errorf("a product in a category below another one is %+v", g)
	}
}
