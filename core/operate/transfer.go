package operate

import "sluice/core/stock"

// Transfer is units of a SKU that move between its normal stock and a sale's, or between two sales'.
type Transfer struct {
	Call
	SKU      int64
	From, To uint32 // sales; 0: normal stock
	Units    int64
	Reason   string
}

// Request returns the transfer in the form of package stock.
func (t *Transfer) Request() (stock.TransferRequest, error) {
	r := stock.TransferRequest{
		From: stock.Cell{SKU: t.SKU, Pool: t.From}, To: stock.Cell{SKU: t.SKU, Pool: t.To},
		Units: t.Units, User: t.User, Scope: t.Scope, Key: t.Key, Reason: t.Reason,
	}
	if t.From == t.To {
		return r, &RefusedError{Rule: RuleSameStock, Cell: r.From}
	}
	return r, nil
}
