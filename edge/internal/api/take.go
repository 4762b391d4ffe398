package api

import (
	"math"

	"sluice/core/problem"
	"sluice/core/stock"
)

// taking is the body of a reservation or a deduction.
type taking struct {
	sku      int64
	quantity int64
	sale     int64 // 0: the SKU's normal stock
	user     int64 // for whom a service acts; 0: not said
}

var takingMembers = members{"sku_id", "quantity", "sale_id", "user_id"}

var (
	errNoSKU      = &problem.Problem{Kind: problem.Malformed, Pointer: "/sku_id", Detail: detailMissing}
	errNoQuantity = &problem.Problem{Kind: problem.Malformed, Pointer: "/quantity", Detail: detailMissing}
)

// decode reads the body, or says what is wrong with it. It is the decoder of the hot path.
func (t *taking) decode(s *scanner, body []byte) error {
	*t = taking{}
	var seen uint
	s.begin(body)
	s.want('{')
	for s.err == nil {
		i := s.member(takingMembers, &seen)
		if i < 0 {
			break
		}
		if i >= 2 && s.null() {
			continue // null stands for an absent member
		}
		switch i {
		case 0:
			t.sku = s.id("/sku_id", math.MaxInt64)
		case 1:
			t.quantity = s.integer("/quantity", 1, stock.QuantityMax)
		case 2:
			t.sale = s.id("/sale_id", math.MaxUint32)
		case 3:
			t.user = s.id("/user_id", math.MaxInt64)
		}
	}
	if err := s.end(); err != nil {
		return err
	}
	switch {
	case t.sku == 0:
		return errNoSKU
	case t.quantity == 0:
		return errNoQuantity
	}
	return nil
}

func (t *taking) cell() stock.Cell { return stock.Cell{SKU: t.sku, Pool: uint32(t.sale)} }
