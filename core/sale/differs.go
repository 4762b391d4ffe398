package sale

import (
	"fmt"
	"maps"
	"slices"
)

// differs says in what a plan differs from the plan of a sale with the same id, one error for each value and each SKU.
func (p *Plan) differs(has *Plan) (list faults) {
	value := func(name string, has, asked any) {
		if has != asked {
			list = append(list, fmt.Errorf("%s: the sale has %v, this plan %v", name, has, asked))
		}
	}
	value("name", fmt.Sprintf("%q", has.Name), fmt.Sprintf("%q", p.Name))
	value("limit per user", orNone(has.Limit), orNone(p.Limit))
	value("hold time", has.Hold, p.Hold)
	value("acknowledge level", has.Ack, p.Ack)
	value("shoppers may deduct", has.ShopperDeducts, p.ShopperDeducts)
	value("registered users only", has.RegisteredOnly, p.RegisteredOnly)
	value("bound of extensions", has.ExtendMax, p.ExtendMax)

	units, asked := has.units(), p.units()
	all := maps.Clone(units)
	maps.Copy(all, asked)
	for _, sku := range slices.Sorted(maps.Keys(all)) {
		value(fmt.Sprintf("units of SKU %d", sku), orNone(units[sku]), orNone(asked[sku]))
	}
	return list
}

// units returns the stock that a plan gives to each SKU.
func (p *Plan) units() map[int64]int64 {
	units := make(map[int64]int64, len(p.Items))
	for _, item := range p.Items {
		units[item.SKU] = item.Quantity
	}
	return units
}

func orNone(units int64) string {
	if units == 0 {
		return "none"
	}
	return fmt.Sprint(units)
}
