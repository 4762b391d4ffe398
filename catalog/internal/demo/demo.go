// Package demo invents the goods of a demo shop: the same ones from the same seed, in English and Chinese, as many as somebody wants.
package demo

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"sluice/catalog/product"
	"sluice/catalog/seller"
	"sluice/core/ids"
)

// The locales of all texts.
const (
	English = "en"
	Chinese = "zh-CN"
)

func (n names) all() product.Names { return product.Names{English: n.en, Chinese: n.zh} }

// Category is a category of the shop. Those below it have its attributes.
type Category struct {
	Names      product.Names
	Attributes []product.Attribute
	Below      []Category
}

// Categories are the categories of the shop, from the top.
func Categories() (all []Category) {
	option := func(code string, of names, choices []choice) product.Attribute {
		a := product.Attribute{Code: code, Kind: product.KindChoice, Names: of.all()}
		for _, c := range choices {
			a.Choices = append(a.Choices, product.Choice{Code: c.code, Names: c.all()})
		}
		return a
	}
	attributes := []product.Attribute{
		option("colour", names{"Colour", "颜色"}, colours), option("size", names{"Size", "尺码"}, sizes),
		{Code: "material", Kind: product.KindText, Names: names{"Material", "材质"}.all()},
	}
	for _, s := range shelves {
		top := Category{Names: s.all(), Attributes: attributes}
		for i := range s.leaves {
			top.Below = append(top.Below, Category{Names: s.leaves[i].all()})
		}
		all = append(all, top)
	}
	return all
}

// Brands are the brands of the shop.
func Brands() (all []product.Names) {
	for _, m := range makers {
		all = append(all, m.all())
	}
	return all
}

// Sellers are what so many sellers apply with.
func Sellers(n int) (all []seller.Application) {
	towns := []seller.Address{
		{Country: "DE", Divisions: []string{"DE-BE"}, Text: "Hauptstr. 1, 10115 Berlin"},
		{Country: "CN", Divisions: []string{"CN-SH"}, Text: "上海市黄浦区南京东路1号"},
		{Country: "FR", Divisions: []string{"FR-IDF"}, Text: "1 rue de Rivoli, 75001 Paris"},
	}
	for i := range n {
		all = append(all, seller.Application{
			LegalName: fmt.Sprintf("%s Demo Trading %d", makers[i%len(makers)].en, i+1), LicenceNo: fmt.Sprintf("DEMO-%05d", i+1), Address: towns[i%len(towns)],
			Documents: []seller.Document{{Kind: "licence", Key: fmt.Sprintf("demo/%d.pdf", i+1), SHA256: strings.Repeat("0", 64)}},
		})
	}
	return all
}

// Shop is what goods refer to.
type Shop struct {
	Leaves  []ids.Category // in the order of Categories, from the top to the end
	Brands  []ids.Brand    // in the order of Brands
	Sellers []ids.Seller
}

// Good is the n-th product of a shop.
func (s *Shop) Good(seed uint64, n int) product.Good {
	r := rand.New(rand.NewPCG(seed, uint64(n))) //nolint:gosec // G404: invents goods
	at := r.IntN(len(s.Leaves))
	of := leafAt(at)
	thing, quality, maker, material := of.things[r.IntN(len(of.things))], qualities[r.IntN(len(qualities))], r.IntN(len(s.Brands)), materials[r.IntN(len(materials))]
	number := 100 + r.IntN(900)
	g := product.Good{
		Seller: s.Sellers[n%len(s.Sellers)],
		Content: product.Content{
			Category: s.Leaves[at], Brand: s.Brands[maker], Tax: of.tax, Options: []string{"colour"}, Values: map[string]string{"material": material.en},
		},
		Texts: map[string]product.Text{
			English: {
				Title: fmt.Sprintf("%s %s %s %d", makers[maker].en, quality.en, thing.en, number),
				Description: fmt.Sprintf("The %s of the series %s by %s, made of %s.\nIt is a product of a demo shop: nobody sends it to you.",
					thing.en, quality.en, makers[maker].en, material.en),
			},
			Chinese: {
				Title:       fmt.Sprintf("%s %s%s %d", makers[maker].zh, quality.zh, thing.zh, number),
				Description: fmt.Sprintf("%s%s系列的%s，采用%s制成。\n本商品属于演示商店，不会发货。", makers[maker].zh, quality.zh, thing.zh, material.zh),
			},
		},
	}
	grams := between(r, of.grams)
	size := product.Size{Length: between(r, of.mm)}
	size.Width, size.Height = size.Length*3/4, max(10, size.Length/5)
	add := func(options map[string]string) {
		g.SKUs = append(g.SKUs, product.SKU{
			State: product.StateActive, Code: fmt.Sprintf("D%d-%d", n+1, len(g.SKUs)+1), Options: options, Grams: grams, Size: size,
		})
	}
	some := r.Perm(len(colours))[:1+r.IntN(2)]
	if of.sized {
		g.Options = append(g.Options, "size")
	}
	for _, c := range some {
		if !of.sized {
			add(map[string]string{"colour": colours[c].code})
			continue
		}
		for _, size := range sizes[:2] {
			add(map[string]string{"colour": colours[c].code, "size": size.code})
		}
	}
	return g
}

// leafAt is the leaf of a place in Shop.Leaves.
func leafAt(at int) *leaf {
	for i := range shelves {
		if at < len(shelves[i].leaves) {
			return &shelves[i].leaves[at]
		}
		at -= len(shelves[i].leaves)
	}
	return nil
}

func between(r *rand.Rand, bounds [2]int64) int64 {
	return bounds[0] + r.Int64N(bounds[1]-bounds[0]+1)
}
