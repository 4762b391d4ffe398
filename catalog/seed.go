package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/catalog/account"
	"sluice/catalog/account/audit"
	"sluice/catalog/assess"
	"sluice/catalog/internal/demo"
	"sluice/catalog/internal/web"
	"sluice/catalog/product"
	"sluice/catalog/seller"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

// HasProducts reports whether a shop has any product.
func HasProducts(ctx context.Context, databases *place.Databases) (bool, error) {
	none, err := product.New(product.Config{Databases: databases, Now: time.Now}).None(ctx)
	return !none, err
}

// Seeding says which goods of a demo shop are written into databases.
type Seeding struct {
	Databases *place.Databases // the caller closes them
	Secret    *account.Secret  // that of the shop
	Owner     ids.User         // owns the sellers
	Sellers   int              // how many there are: 1 to 100
	Products  int              // how many are added
	Seed      uint64           // of their texts: the same one has the same ones
	Told      func(Seeded)     // is told how far it has come, by one caller at a time; may be nil
}

// Seeded is what a seeding has written so far.
type Seeded struct {
	Sellers  []ids.Seller
	Products int
	Rows     int           // of products
	IDs      []ids.Product // of the batch that was written last
	SKUs     []int         // how many each of them has
}

// seeders is how many batches are written at once.
const seeders = 4

// Seed writes the goods of a demo shop: categories, brands and sellers, unless they are there, and so many products more, which shoppers see at
// once. An end in the middle leaves whole batches of products behind, which the result counts.
func Seed(ctx context.Context, s Seeding) (done Seeded, err error) {
	by := audit.Author{Actor: "operator", Origin: "seed"}
	as := func(key string) product.Caller { return product.Caller{Author: by, User: s.Owner, Key: key} }
	sellers := seller.New(seller.Config{Databases: s.Databases, Sealer: s.Secret, Accounts: reviewers{}})
	products := product.New(product.Config{Databases: s.Databases, Sellers: sellers, Now: time.Now})
	var shop demo.Shop
	if shop.Leaves, err = seedCategories(ctx, products, as); err != nil {
		return done, fmt.Errorf("seed categories: %w", err)
	}
	if shop.Brands, err = seedBrands(ctx, products, as); err != nil {
		return done, fmt.Errorf("seed brands: %w", err)
	}
	for i, a := range demo.Sellers(s.Sellers) {
		id, err := s.openSeller(ctx, sellers, by, i, a)
		if err != nil {
			return done, fmt.Errorf("seed seller %q: %w", a.LegalName, err)
		}
		shop.Sellers = append(shop.Sellers, id)
	}
	done.Sellers = shop.Sellers
	var mu sync.Mutex
	batches, ctx := errgroup.WithContext(ctx)
	batches.SetLimit(seeders)
	for first := 0; first < s.Products && ctx.Err() == nil; first += product.LoadMax {
		batches.Go(func() error {
			var goods []product.Good
			var skus []int
			for n := first; n < min(first+product.LoadMax, s.Products); n++ {
				g := shop.Good(s.Seed, n)
				goods, skus = append(goods, g), append(skus, len(g.SKUs))
			}
			// Neighbours are far from each other, so that all places have some.
			number := uint16(first / product.LoadMax * 389 % shard.Count)
			made, rows, err := products.Load(ctx, by, number, goods)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done.Products, done.Rows, done.IDs, done.SKUs = done.Products+len(made), done.Rows+rows, made, skus
			if s.Told != nil {
				s.Told(done)
			}
			return nil
		})
	}
	return done, batches.Wait()
}

// openSeller is a seller that two reviewers have opened. One that is there already is not made again.
func (s Seeding) openSeller(ctx context.Context, sellers *seller.Sellers, by audit.Author, i int, a seller.Application) (ids.Seller, error) {
	as := func(user ids.User) seller.Caller {
		return seller.Caller{Author: by, User: user, Key: fmt.Sprintf("demo-seller-%d", i)}
	}
	id := s.Secret.DrawSeller(s.Owner, as(0).Key)
	if _, err := sellers.StateOf(ctx, id); err == nil || !errors.As(err, new(*problem.Problem)) {
		return id, err
	}
	if _, err := sellers.Apply(ctx, as(s.Owner), a); err != nil {
		return 0, err
	}
	for _, reviewer := range []ids.User{s.Owner + 1, s.Owner + 2} {
		claimed, err := sellers.Claim(ctx, as(reviewer), id)
		if err != nil {
			return 0, err
		}
		if _, err := sellers.Decide(ctx, as(reviewer), id, web.Version(claimed.Version), seller.Decision{Approve: true, Reason: "a demo shop"}); err != nil {
			return 0, err
		}
	}
	return id, nil
}

// reviewers are the accounts that a seeding has: nobody is asked, and all may review.
type reviewers struct{}

// HasEmail implements seller.Accounts.
func (reviewers) HasEmail(context.Context, ids.User, account.Email) (bool, error) { return false, nil }

// Granted implements seller.Accounts.
func (reviewers) Granted(context.Context, int64) (web.Roles, error) {
	return web.RolesOf(web.RoleOps), nil
}

// Facts implements seller.Accounts.
func (reviewers) Facts(context.Context, ids.User) (f assess.Facts, err error) { return f, nil }

// Tell implements seller.Accounts.
func (reviewers) Tell(context.Context, ids.User, account.Notice) error { return nil }

// seedCategories are those of the demo shop that have products, in their order.
func seedCategories(ctx context.Context, products *product.Products, as func(key string) product.Caller) (leaves []ids.Category, err error) {
	number := 0
	one := func(parent ids.Category, of demo.Category) (id ids.Category, err error) {
		number++ // it is the same whatever is there
		key := fmt.Sprintf("demo-category-%d", number)
		tree, err := products.Tree(ctx, 0)
		if err != nil {
			return 0, err
		}
		there, _, err := tree.Below(parent, false, 0, tree.Children(parent))
		if err != nil {
			return 0, err
		}
		var c product.Category
		for _, has := range there {
			if has.Names[demo.English] == of.Names[demo.English] {
				c = has
			}
		}
		if c.ID == 0 {
			if c, err = products.MakeCategory(ctx, as(key), product.Category{Parent: parent, Names: of.Names}); err != nil {
				return 0, err
			}
		}
		for i, a := range of.Attributes {
			if slices.ContainsFunc(c.Attributes, func(has product.Attribute) bool { return has.Code == a.Code }) {
				continue // of one that is there. An end in the middle left some
			}
			if c, err = products.SetAttribute(ctx, as(fmt.Sprintf("%s-%d", key, i)), c.ID, web.Version(c.Version), a); err != nil {
				return 0, err
			}
		}
		return c.ID, nil
	}
	for _, top := range demo.Categories() {
		parent, err := one(0, top)
		if err != nil {
			return nil, err
		}
		for _, below := range top.Below {
			leaf, err := one(parent, below)
			if err != nil {
				return nil, err
			}
			leaves = append(leaves, leaf)
		}
	}
	return leaves, nil
}

// seedBrands are those of the demo shop, in their order.
func seedBrands(ctx context.Context, products *product.Products, as func(key string) product.Caller) (all []ids.Brand, err error) {
	there := map[string]ids.Brand{}
	for after := ids.Brand(0); ; {
		page, more, err := products.Brands(ctx, after, 100)
		if err != nil {
			return nil, err
		}
		for _, b := range page {
			there[b.Names[demo.English]], after = b.ID, b.ID
		}
		if !more {
			break
		}
	}
	for i, names := range demo.Brands() {
		id, is := there[names[demo.English]]
		if !is {
			b, err := products.MakeBrand(ctx, as(fmt.Sprintf("demo-brand-%d", i)), product.Brand{Names: names})
			if err != nil {
				return nil, err
			}
			id = b.ID
		}
		all = append(all, id)
	}
	return all, nil
}
