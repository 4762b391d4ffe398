// Package price owns what things cost: the prices of SKUs in markets, promotions, coupons, and quotes, which pin all of it for a while.
// Its rules follow from what they are given: they know no clock, no database and no stock. Behind them, Pricing keeps the prices of SKUs in
// the places of their products.
package price

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/core/ids"
	"sluice/core/money"
	"sluice/core/problem"
)

// Rate is a part of something, in parts of a million: 19 % is 190,000.
type Rate int64

// Whole is all of it.
const Whole Rate = 1_000_000

// of is the part of an amount.
func (r Rate) of(a money.Amount, by money.Rounding) (money.Amount, error) {
	return a.Part(int64(r), int64(Whole), by)
}

// String is a rate that is not below 0, in percent: such as 8.875%.
func (r Rate) String() string {
	const one = Whole / 100
	text := strconv.FormatInt(int64(r/one), 10)
	if rest := r % one; rest > 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%04d", rest), "0")
	}
	return text + "%"
}

// Channel is a way in which shoppers come, such as app or web. The empty one stands for all of them.
type Channel string

// Level is the level of a member. 0 is who is none.
type Level int

// LevelMax is the highest level.
const LevelMax Level = 9

// Span is from a moment on, until another one. Without an end it goes on.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to,omitzero"`
}

// Has reports whether a moment is in the span. Its end is not.
func (s Span) Has(at time.Time) bool {
	return !at.Before(s.From) && !s.ended(at)
}

func (s Span) ended(at time.Time) bool { return !s.To.IsZero() && !at.Before(s.To) }

func (s Span) check() *problem.Problem {
	switch {
	case s.From.IsZero():
		return malformed("/from", "want a moment from which it counts")
	case s.ended(s.From):
		return malformed("/to", "want a moment after the first one")
	}
	return nil
}

// Funder is who bears a discount.
type Funder string

// The funders.
const (
	Platform Funder = "platform"
	Seller   Funder = "seller" // of the line
)

// Terms say what a promotion or a coupon is for, and who bears it.
type Terms struct {
	Seller   ids.Seller `json:"seller_id,omitzero"` // whose goods it is for. None: those of all sellers
	Funder   Funder     `json:"funder"`
	Span                // when it counts
	Channels []Channel  `json:"channels,omitempty"` // none: all of them
	Level    Level      `json:"level"`              // it is for members from this level on
	Scope    Scope      `json:"scope"`
}

// Scope is a choice of goods. One that names nothing is all of them; else it has what is named in any of its lists.
type Scope struct {
	SKUs       []int64        `json:"sku_ids,omitempty"`
	Products   []ids.Product  `json:"product_ids,omitempty"`
	Categories []ids.Category `json:"category_ids,omitempty"` // with those below them
	Brands     []ids.Brand    `json:"brand_ids,omitempty"`
}

const (
	namedMax    = 1000 // in a scope
	channelsMax = 20
)

func (s *Scope) size() int {
	return len(s.SKUs) + len(s.Products) + len(s.Categories) + len(s.Brands)
}

// has reports whether an item is in the scope.
func (s *Scope) has(i *Item) bool {
	if s.size() == 0 || slices.Contains(s.SKUs, i.SKU) || slices.Contains(s.Brands, i.Brand) {
		return true
	}
	if product, _, ok := ids.ProductOf(i.SKU); ok && slices.Contains(s.Products, product) {
		return true
	}
	return slices.ContainsFunc(i.Categories, func(c ids.Category) bool { return slices.Contains(s.Categories, c) })
}

// fit reports whether an item is what the terms are for.
func (t *Terms) fit(i *Item) bool { return (t.Seller == 0 || t.Seller == i.Seller) && t.Scope.has(i) }

// reach says why the terms are not for a shopper at this moment, or nothing.
func (t *Terms) reach(at time.Time, channel Channel, level Level) Reason {
	switch {
	case at.Before(t.From):
		return NotBegun
	case t.ended(at):
		return Ended
	case len(t.Channels) > 0 && !slices.Contains(t.Channels, channel):
		return OtherChannel
	case level < t.Level:
		return LevelTooLow
	}
	return ""
}

var wordForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

const wordWanted = "want 1 to 40 lower-case letters, digits and _ that begin with a letter"

func (t *Terms) check() *problem.Problem {
	switch {
	case t.Funder != Platform && t.Funder != Seller:
		return malformed("/funder", "want platform or seller")
	case t.Funder == Platform && t.Seller != 0:
		return malformed("/funder", "what is of a seller is borne by that seller")
	case len(t.Channels) > channelsMax:
		return malformed("/channels", "want at most %d", channelsMax)
	case t.Level < 0 || t.Level > LevelMax:
		return malformed("/level", "want 0 to %d", LevelMax)
	case t.Scope.size() > namedMax:
		return malformed("/scope", "want at most %d things", namedMax)
	}
	for _, c := range t.Channels {
		if !wordForm.MatchString(string(c)) {
			return malformed("/channels", wordWanted)
		}
	}
	return t.Span.check()
}

func malformed(pointer, want string, values ...any) *problem.Problem {
	return &problem.Problem{Kind: problem.Malformed, Pointer: pointer, Detail: fmt.Sprintf(want, values...)}
}

// The kinds of refusals.
var (
	unknownMarket    = problem.NewKind(problem.Kind{Code: "unknown_market", Status: http.StatusNotFound, Title: "There is no such market."})
	unknownProduct   = problem.NewKind(problem.Kind{Code: "unknown_product", Status: http.StatusNotFound, Title: "There is no such product."})
	unknownSKU       = problem.NewKind(problem.Kind{Code: "unknown_sku", Status: http.StatusNotFound, Title: "The product has no such SKU."})
	priceContradicts = problem.NewKind(problem.Kind{Code: "price_contradicts", Status: http.StatusConflict, Title: "The prices would contradict each other."})
	noPrice          = problem.NewKind(problem.Kind{Code: "no_price", Status: http.StatusConflict, Title: "The SKU is not for sale in this market."})
	amountTooLarge   = problem.NewKind(problem.Kind{Code: "amount_too_large", Status: http.StatusUnprocessableEntity, Title: "The sum is too large."})
	quoteInvalid     = problem.NewKind(problem.Kind{Code: "quote_invalid", Status: http.StatusUnprocessableEntity, Title: "This is no quote of this user."})
	quoteExpired     = problem.NewKind(problem.Kind{Code: "quote_expired", Status: http.StatusGone, Title: "The quote has ended: ask for another one."})
)

// tooLarge is the refusal of amounts that do not fit. Any other error is a fault of the program.
func tooLarge(pointer string, err error) error {
	if errors.Is(err, money.ErrRange) {
		return &problem.Problem{Kind: amountTooLarge, Pointer: pointer, Detail: fmt.Sprintf("no amount has more than %d minor units", int64(money.MinorMax))}
	}
	return fmt.Errorf("calculate an amount: %w", err)
}

// at puts a pointer in front of that of a refusal.
func at(pointer string, p *problem.Problem) *problem.Problem {
	if p == nil {
		return nil
	}
	under := *p
	under.Pointer = pointer + p.Pointer
	return &under
}
