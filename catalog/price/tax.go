package price

import (
	"sluice/core/ids"
	"sluice/core/money"
)

// taxed is what is taxed together: goods of one seller, because that is one order, and of one tax category.
type taxed struct {
	seller   ids.Seller
	category string
}

// taxes are the taxes of goods that cost what is left of lines, rounded once for all that is taxed together, in the order of the lines.
func taxes(r *Request, lines []line, rest []money.Amount) (of []taxGroup, err error) {
	where := make(map[taxed]int, len(lines))
	for i := range lines {
		key := taxed{lines[i].Seller, lines[i].TaxCategory}
		n, found := where[key]
		if !found {
			n, of = len(of), append(of, taxGroup{goods: r.Market.none()})
			where[key] = n
		}
		of[n].lines = append(of[n].lines, i)
		if of[n].goods, err = of[n].goods.Add(rest[i]); err != nil {
			return nil, err
		}
	}
	for n := range of {
		if of[n].tax, err = r.Market.Regime.tax(of[n].goods, lines[of[n].lines[0]].TaxCategory); err != nil {
			return nil, err
		}
	}
	return of, nil
}

type taxGroup struct {
	lines      []int
	goods, tax money.Amount
}

// totalOf is what is to pay, in minor units.
func totalOf(r *Request, lines []line, rest []money.Amount) (int64, error) {
	sum, err := money.Sum(r.Market.Currency, rest...)
	if err != nil || r.Market.Regime.Inclusive {
		return sum.Minor, err
	}
	groups, err := taxes(r, lines, rest)
	for i := 0; err == nil && i < len(groups); i++ {
		sum, err = sum.Add(groups[i].tax)
	}
	return sum.Minor, err
}

// taxOf divides the taxes over lines. Goods that cost nothing have none.
func taxOf(r *Request, lines []line, rest []money.Amount) ([]money.Amount, error) {
	groups, err := taxes(r, lines, rest)
	if err != nil {
		return nil, err
	}
	of := make([]money.Amount, len(lines))
	for i := range of {
		of[i] = r.Market.none()
	}
	for _, g := range groups {
		if g.goods.Minor == 0 {
			continue
		}
		weights := make([]int64, 0, len(g.lines))
		for _, i := range g.lines {
			weights = append(weights, rest[i].Minor)
		}
		shares, err := g.tax.Allocate(weights...)
		if err != nil {
			return nil, err
		}
		for n, i := range g.lines {
			of[i] = shares[n]
		}
	}
	return of, nil
}
