package price

import (
	"errors"

	"sluice/core/money"
)

var errSums = errors.New("the amounts of a quote do not add up")

// Check returns an error unless all amounts of the quote add up, and none is below 0 but the discounts.
func (q *Quote) Check() error {
	want, s := Quote{Currency: q.Currency}, sums{}
	want.none()
	for i := range q.Lines {
		l := &q.Lines[i]
		goods, err := l.Unit.Price.Times(l.Quantity)
		if err != nil || goods != l.Goods || l.Tax.Minor < 0 {
			return errSums
		}
		rest := l.Goods
		for _, a := range l.Adjustments {
			if a.Amount.Minor >= 0 {
				return errSums
			}
			s.add(&rest, a.Amount)
		}
		if !q.Inclusive {
			s.add(&rest, l.Tax)
		}
		if rest != l.Total || l.Tax.Minor > l.Total.Minor { // so what is taxed is not below 0
			return errSums
		}
		s.line(&want, l)
	}
	if s.err != nil || want.Goods != q.Goods || want.Discount != q.Discount || want.Tax != q.Tax || want.Total != q.Total {
		return errSums
	}
	return nil
}

// none makes all sums of the quote 0.
func (q *Quote) none() {
	for _, sum := range []*money.Amount{&q.Goods, &q.Discount, &q.Tax, &q.Total} {
		*sum = money.Amount{Currency: q.Currency}
	}
}

// sums adds amounts until one does not fit.
type sums struct{ err error }

func (s *sums) add(to *money.Amount, more money.Amount) {
	if s.err == nil {
		*to, s.err = to.Add(more)
	}
}

// line adds a line to the sums of a quote.
func (s *sums) line(q *Quote, l *Line) {
	s.add(&q.Goods, l.Goods)
	for _, a := range l.Adjustments {
		s.add(&q.Discount, a.Amount)
	}
	s.add(&q.Tax, l.Tax)
	s.add(&q.Total, l.Total)
}
