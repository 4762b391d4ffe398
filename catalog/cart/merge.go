package cart

import (
	"cmp"
	"slices"
)

// Merge puts the lines of a guest's cart into a user's, and returns the SKUs of those for which there was no room.
//
//   - A SKU of both has the sum of the quantities, up to QuantityMax. If one of them saved it for later and the other did not, the line of
//     the other stands as it is: what somebody means to buy is not hidden, and what was put off is not bought.
//   - The newer line says since when it is there, and what it cost then.
//   - What is saved for later stays so.
//   - Lines of the user stay in any case. The newest of the guest's come first, while there is room.
func Merge(user, guest Cart) (merged Cart, left []int64) {
	merged = Cart{Version: user.Version, Lines: slices.Clone(user.Lines)}
	newest := slices.Clone(guest.Lines)
	slices.SortStableFunc(newest, func(a, b Line) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.SKU, b.SKU)) })
	for _, l := range newest {
		i := merged.find(l.SKU)
		switch {
		case i >= 0:
			merged.Lines[i] = join(merged.Lines[i], l)
		case len(merged.Lines) < LinesMax:
			merged.Lines = append(merged.Lines, l)
		default:
			left = append(left, l.SKU)
		}
	}
	merged.order()
	slices.Sort(left)
	return merged, left
}

// join makes one line of two about the same SKU.
func join(a, b Line) Line {
	switch {
	case a.Later && !b.Later:
		return b
	case b.Later && !a.Later:
		return a
	}
	newer := a
	if b.At.After(a.At) {
		newer = b
	}
	newer.Quantity = min(a.Quantity+b.Quantity, QuantityMax)
	return newer
}
