package api

import (
	"errors"
	"math"
	"slices"
	"time"

	"sluice/core/moment"
	"sluice/core/problem"
	"sluice/core/sale"
	"sluice/core/stock"
)

// draft is what the body of an admin request says. Which members a body may have is its endpoint's
// list.
type draft struct {
	sku                    int64
	sale, fromSale, toSale int64 // 0: the SKU's normal stock
	quantity, delta        int64
	name, reason           string
	settings               stock.Settings
	fields                 stock.Fields // of settings, those that the body has
	opensAt, closesAt      time.Time
	items                  []sale.Allotment
}

// member is a member that a body may have.
type member struct {
	name     string
	required bool
	read     func(s *scanner, d *draft)
}

// schema is the members that a body may have.
type schema struct {
	names   members
	members []member
}

func newSchema(list ...member) *schema {
	s := &schema{members: list}
	for _, m := range list {
		s.names = append(s.names, m.name)
	}
	return s
}

// optional reports whether a body without members is one.
func (s *schema) optional() bool {
	return !slices.ContainsFunc(s.members, func(m member) bool { return m.required })
}

// emptyBody stands for a body that is not there, and may be missing.
var emptyBody = []byte("{}")

// read reads one object. A null stands for an absent member, where the member may be absent.
func (s *schema) read(in *scanner, d *draft) {
	var seen uint
	var present uint
	in.want('{')
	for in.err == nil {
		i := in.member(s.names, &seen)
		if i < 0 {
			break
		}
		m := &s.members[i]
		if !m.required && in.null() {
			continue
		}
		present |= 1 << i
		m.read(in, d)
	}
	for i, m := range s.members {
		if in.err == nil && m.required && present&(1<<i) == 0 {
			in.fail(malformed("/"+m.name, "the member is missing"))
		}
	}
}

// decode reads a whole body.
func (s *schema) decode(in *scanner, body []byte) (draft, error) {
	var d draft
	in.begin(body)
	s.read(in, &d)
	return d, in.end()
}

// The members.
var (
	memberReason = member{"reason", true, func(s *scanner, d *draft) { d.reason = s.line("/reason", stock.ReasonMax) }}
	memberName   = member{"name", true, func(s *scanner, d *draft) { d.name = s.line("/name", sale.NameMax) }}
	memberSKU    = member{"sku_id", true, func(s *scanner, d *draft) { d.sku = s.id("/sku_id", math.MaxInt64) }}
	memberSale   = member{"sale_id", false, func(s *scanner, d *draft) { d.sale = s.id("/sale_id", math.MaxUint32) }}
	memberFrom   = member{"from_sale_id", false, func(s *scanner, d *draft) { d.fromSale = s.id("/from_sale_id", math.MaxUint32) }}
	memberTo     = member{"to_sale_id", false, func(s *scanner, d *draft) { d.toSale = s.id("/to_sale_id", math.MaxUint32) }}

	memberFirstUnits = member{"quantity", true, func(s *scanner, d *draft) { d.quantity = s.integer("/quantity", 0, stock.UnitsMax) }}
	memberUnits      = member{"quantity", true, func(s *scanner, d *draft) { d.quantity = s.integer("/quantity", 1, stock.UnitsMax) }}
	memberDelta      = member{"delta", true, func(s *scanner, d *draft) {
		if d.delta = s.integer("/delta", -stock.UnitsMax, stock.UnitsMax); d.delta == 0 {
			s.fail(malformed("/delta", "want a change"))
		}
	}}

	memberLimit = member{"limit", false, func(s *scanner, d *draft) {
		d.settings.Limit = s.integer("/limit", 0, stock.QuantityMax)
		d.fields |= stock.FieldLimit
	}}
	memberHold = member{"hold_ms", false, func(s *scanner, d *draft) {
		d.settings.Hold = time.Duration(s.integer("/hold_ms", 1, stock.HoldMax.Milliseconds())) * time.Millisecond
		d.fields |= stock.FieldHold
	}}
	memberAck = member{"ack", false, func(s *scanner, d *draft) {
		ack, err := stock.ParseAck(s.line("/ack", 10))
		if err != nil {
			s.fail(malformed("/ack", "want default, redis, replica or log"))
		}
		d.settings.Ack = ack
		d.fields |= stock.FieldAck
	}}
	memberShopperDeducts = member{"shopper_deducts", false, func(s *scanner, d *draft) {
		d.settings.ShopperDeducts = s.boolean("/shopper_deducts")
		d.fields |= stock.FieldShopperDeducts
	}}
	memberFrozen = member{"frozen", false, func(s *scanner, d *draft) {
		d.settings.Frozen = s.boolean("/frozen")
		d.fields |= stock.FieldFrozen
	}}
	memberOpens = member{"opens_at", false, func(s *scanner, d *draft) {
		d.opensAt, d.settings.OpensAtMS = s.moment("/opens_at")
		d.fields |= stock.FieldOpensAt
	}}
	memberOpening = member{"opens_at", false, func(s *scanner, d *draft) {
		var ms int64
		if d.opensAt, ms = s.moment("/opens_at"); ms == 0 {
			s.fail(errMoment("/opens_at")) // a sale always has an opening: there is none to take away
		}
	}}
	memberCloses = member{"closes_at", false, func(s *scanner, d *draft) {
		d.closesAt, d.settings.ClosesAtMS = s.moment("/closes_at")
		d.fields |= stock.FieldClosesAt
	}}
	memberItems = member{"items", true, func(s *scanner, d *draft) {
		if !s.take('[') || s.take(']') {
			s.fail(malformed("/items", "want a list of at least one item"))
		}
		for s.err == nil {
			if len(d.items) > 0 {
				if s.take(']') {
					return
				}
				s.want(',')
			}
			if len(d.items) == sale.ItemsMax {
				s.fail(malformed("/items", "want at most %d items", sale.ItemsMax))
				return
			}
			var item draft
			itemSchema.read(s, &item)
			s.within("/items", len(d.items))
			d.items = append(d.items, sale.Allotment{SKU: item.sku, Quantity: item.quantity})
		}
	}}
)

// The bodies.
var (
	itemSchema = newSchema(memberSKU, memberUnits)

	loadSchema = newSchema(memberFirstUnits, memberReason, memberLimit, memberHold, memberOpens, memberCloses, memberAck,
		memberShopperDeducts, memberFrozen)
	changeSchema = newSchema(memberReason, memberSale, memberLimit, memberHold, memberOpens, memberCloses, memberAck,
		memberShopperDeducts, memberFrozen)
	adjustSchema   = newSchema(memberDelta, memberReason, memberSale)
	transferSchema = newSchema(memberSKU, memberFrom, memberTo, memberUnits, memberReason)
	saleSchema     = newSchema(memberName, memberItems, memberLimit, memberHold, memberAck, memberShopperDeducts)
	openSchema     = newSchema(memberOpening, memberCloses)
	letterSchema   = newSchema(memberReason)
	closeSchema    = newSchema(memberCloses)
)

// momentYearMin is the first year, as it is written, wherever the place: it keeps the time 0, which stands for no
// bound, from being one.
const momentYearMin = "1971"

// moment reads a time in RFC 3339, to the millisecond. The empty string takes a bound away: it is the time 0,
// and sale.Never.
func (s *scanner) moment(pointer string) (time.Time, int64) {
	text := s.textOf(pointer, "a time as a string")
	if s.err != nil {
		return time.Time{}, 0
	}
	if len(text) == 0 {
		return sale.Never, 0
	}
	t, err := moment.Parse(string(text))
	switch {
	case errors.Is(err, moment.ErrRange), err == nil && string(text[:4]) < momentYearMin:
		s.fail(malformed(pointer, "want a time of the years %s to 9999", momentYearMin))
		return time.Time{}, 0
	case err != nil:
		s.fail(errMoment(pointer))
		return time.Time{}, 0
	}
	return t, t.UnixMilli()
}

func errMoment(pointer string) *problem.Problem {
	return malformed(pointer, "want a time in RFC 3339, such as 2026-11-11T20:00:00Z")
}
