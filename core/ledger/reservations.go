package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sluice/core/show"
	"sluice/core/stock"
)

// Reservation is a reservation or deduction in the state that MySQL knows.
type Reservation struct {
	ID         string      `json:"reservation_id"`
	SKU        show.ID     `json:"sku_id"`
	Sale       show.ID     `json:"sale_id,omitzero"` // 0: normal stock
	User       show.ID     `json:"user_id"`
	Quantity   int64       `json:"quantity"`
	State      string      `json:"state"`
	ReservedMS int64       `json:"reserved_ms,omitzero"` // Redis time at which it was made; 0: not known
	ExpiresAt  show.Moment `json:"expires_at,omitzero"`  // 0: it never was held

	key reservationKey
}

// ReservationFilter says which reservations to list: those of a user, of a SKU, of a sale, or all.
type ReservationFilter struct {
	User  int64       // 0: anybody
	SKU   int64       // in the sale, or in normal stock; 0: any
	Sale  uint32      // 0: normal stock if there is a SKU, else any
	State stock.State // StateNone: any
}

type reservationKey struct {
	SKU   int64
	State uint8
	ID    stock.ReservationID
}

const (
	// skusPerRead is how many SKUs of a sale one statement reads.
	skusPerRead = 200

	selectReservations = `SELECT reservation_id, sku_id, pool, user_id, quantity, CAST(state AS UNSIGNED), deadline_ms, reserved_ms FROM reservations `
)

// listedStates are the states of rows, in the order of the index.
var listedStates = []stock.State{
	stock.StateHeld, stock.StateConfirmed, stock.StateReleased, stock.StateExpired, stock.StateRevoked, stock.StateReturned,
}

// Reservations lists reservations. Those of a sale come by SKU, state and id; all others come by state and id, or by
// id. A held reservation whose deadline has passed shows as expired even before the sweep has reached it. A list of
// held reservations leaves it out. A list of expired ones has it once MySQL has the event of its expiry.
func (r *Reader) Reservations(ctx context.Context, f ReservationFilter, p Page) (List[Reservation], error) {
	limit, err := p.limit()
	if err != nil {
		return List[Reservation]{}, err
	}
	if f.User < 0 || f.SKU < 0 {
		return List[Reservation]{}, fmt.Errorf("%w: user %d, SKU %d: want 1 or more, or none", ErrFilter, f.User, f.SKU)
	}
	states := listedStates
	if f.State != stock.StateNone {
		if !slices.Contains(listedStates, f.State) {
			return List[Reservation]{}, fmt.Errorf("%w: state %v: want held, confirmed, released, expired, revoked or returned", ErrFilter, f.State)
		}
		if f.User == 0 && f.SKU == 0 && f.Sale == 0 {
			return List[Reservation]{}, fmt.Errorf("%w: a state is looked for among the reservations of a user, a SKU or a sale: name one", ErrFilter)
		}
		states = []stock.State{f.State}
	}
	in := scope("reservations", f)
	after, err := keyOf[reservationKey](in, p.Cursor)
	if err != nil {
		return List[Reservation]{}, err
	}
	q := reservationQuery{reader: r, filter: f, states: states, after: after, limit: limit + 1}
	var nowMS int64
	q.untilMS, nowMS = r.persisted(ctx)
	switch {
	case f.User != 0:
		err = q.ofUser(ctx)
	case f.SKU != 0:
		err = q.ofSKUs(ctx, []int64{f.SKU})
	case f.Sale != 0:
		err = q.ofSale(ctx)
	default:
		err = q.run(ctx, "WHERE reservation_id > ? ORDER BY reservation_id LIMIT ?", q.after.ID[:], q.limit)
	}
	if err != nil {
		return List[Reservation]{}, err
	}
	list := listOf(q.found, limit, in, func(r *Reservation) reservationKey { return r.key }, q.end)
	list.AsOf, list.Behind = show.Moment(q.untilMS), q.untilMS < nowMS
	return list, nil
}

// reservationQuery reads one page of reservations. Each statement names the index whose order it needs.
type reservationQuery struct {
	reader  *Reader
	filter  ReservationFilter
	states  []stock.State
	after   reservationKey
	limit   int
	untilMS int64
	found   []Reservation
	end     *reservationKey // the last row examined; nil: all rows to the end of the list
}

// run reads the rest of the page.
func (q *reservationQuery) run(ctx context.Context, rest string, values ...any) error {
	return q.reader.read(ctx, "reservations", func(rows *sql.Rows) error {
		var r stock.Reservation
		var id []byte
		var x Reservation
		if err := rows.Scan(&id, &r.Cell.SKU, &r.Cell.Pool, &r.User, &r.Quantity, &r.State, &r.DeadlineMS, &x.ReservedMS); err != nil {
			return err
		}
		if len(id) != stock.ReservationBytes {
			return fmt.Errorf("id %x: want %d bytes", id, stock.ReservationBytes)
		}
		r.ID = stock.ReservationID(id)
		x.ID, x.SKU, x.Sale, x.User, x.Quantity = r.ID.String(), show.ID(r.Cell.SKU), show.ID(r.Cell.Pool), show.ID(r.User), r.Quantity
		x.State, x.ExpiresAt = r.StateAt(q.untilMS).String(), show.Moment(r.DeadlineMS)
		x.key = reservationKey{r.Cell.SKU, uint8(r.State), r.ID}
		q.found = append(q.found, x)
		return nil
	}, selectReservations+rest, values...)
}

// ofUser reads the reservations of a user, by id.
func (q *reservationQuery) ofUser(ctx context.Context) error {
	where := "FORCE INDEX (reservations_user) WHERE user_id = ? AND reservation_id > ?"
	values := []any{q.filter.User, q.after.ID[:]}
	const order = " ORDER BY reservation_id"
	if q.filter != (ReservationFilter{User: q.filter.User}) {
		if err := q.examine(ctx, "0, 0, reservation_id", where+order, values...); err != nil {
			return err
		}
	}
	if q.end != nil {
		where += " AND reservation_id <= ?"
		values = append(values, q.end.ID[:])
	}
	if q.filter.SKU != 0 {
		where += " AND sku_id = ? AND pool = ?"
		values = append(values, q.filter.SKU, q.filter.Sale)
	} else if q.filter.Sale != 0 {
		where += " AND pool = ?"
		values = append(values, q.filter.Sale)
	}
	return q.run(ctx, where+" AND "+oneOf(q.states)+q.unexpired()+order+" LIMIT ?", append(values, q.limit)...)
}

// examine finds the last row of an index that the page examines. columns are those of the key; 0 stands for columns
// that the index lacks.
func (q *reservationQuery) examine(ctx context.Context, columns, rest string, values ...any) (err error) {
	q.end, err = examined(ctx, q.reader, "reservations", func(rows *sql.Rows, k *reservationKey) error {
		var id []byte
		err := rows.Scan(&k.SKU, &k.State, &id)
		copy(k.ID[:], id)
		return err
	}, "SELECT "+columns+" FROM reservations "+rest, values...)
	return err
}

// ofSale reads the reservations of a sale, some SKUs at a time. Every SKU with a reservation has a row of stock.
func (q *reservationQuery) ofSale(ctx context.Context) error {
	from := q.after.SKU
	for asked := 0; len(q.found) < q.limit && q.end == nil; asked += skusPerRead {
		if asked >= examinedMax {
			q.end = lastOf(from - 1)
			return nil
		}
		var skus []int64
		err := q.reader.read(ctx, "SKUs of the sale", func(rows *sql.Rows) error {
			var sku int64
			err := rows.Scan(&sku)
			skus = append(skus, sku)
			return err
		}, `SELECT DISTINCT sku_id FROM product_inventories FORCE INDEX (product_inventories_pool)
			WHERE pool = ? AND sku_id >= ? ORDER BY sku_id LIMIT ?`, q.filter.Sale, from, skusPerRead)
		if err != nil || len(skus) == 0 {
			return err
		}
		if err := q.ofSKUs(ctx, skus); err != nil {
			return err
		}
		from = skus[len(skus)-1] + 1
	}
	return nil
}

// ofSKUs reads the reservations of sorted SKUs in one pool, by SKU, state and id.
func (q *reservationQuery) ofSKUs(ctx context.Context, skus []int64) error {
	pool := q.filter.Sale
	var ranges []string
	var values []any
	if skus[0] == q.after.SKU {
		at := stock.State(q.after.State)
		ranges = append(ranges, fmt.Sprintf("sku_id = %d AND pool = %d AND state = '%v' AND reservation_id > ?", skus[0], pool, at))
		values = append(values, q.after.ID[:])
		later := slices.DeleteFunc(slices.Clone(q.states), func(s stock.State) bool { return s <= at })
		if len(later) > 0 {
			ranges = append(ranges, fmt.Sprintf("sku_id = %d AND pool = %d AND %s", skus[0], pool, oneOf(later)))
		}
		skus = skus[1:]
	}
	if len(skus) > 0 {
		list := make([]string, len(skus))
		for i, sku := range skus {
			list[i] = strconv.FormatInt(sku, 10)
		}
		ranges = append(ranges, fmt.Sprintf("sku_id IN (%s) AND pool = %d AND %s", strings.Join(list, ","), pool, oneOf(q.states)))
	}
	where := "FORCE INDEX (reservations_cell) WHERE (" + strings.Join(ranges, " OR ") + ")"
	const order = " ORDER BY sku_id, pool, state, reservation_id"
	if unexpired := q.unexpired(); unexpired != "" { // all of them are held
		if err := q.examine(ctx, "sku_id, CAST(state AS UNSIGNED), reservation_id", where+order, values...); err != nil {
			return err
		}
		where += unexpired
	}
	if q.end != nil {
		where += " AND (sku_id < ? OR sku_id = ? AND reservation_id <= ?)"
		values = append(values, q.end.SKU, q.end.SKU, q.end.ID[:])
	}
	return q.run(ctx, where+order+" LIMIT ?", append(values, q.limit-len(q.found))...)
}

// lastOf returns a key that comes after all reservations of a SKU.
func lastOf(sku int64) *reservationKey {
	key := reservationKey{SKU: sku, State: uint8(listedStates[len(listedStates)-1])}
	for i := range key.ID {
		key.ID[i] = 0xff
	}
	return &key
}

// unexpired returns the condition that leaves out held reservations whose deadline has passed, if the list is of held
// ones.
func (q *reservationQuery) unexpired() string {
	if q.filter.State != stock.StateHeld || q.untilMS == 0 {
		return ""
	}
	return fmt.Sprintf(" AND deadline_ms > %d", q.untilMS)
}

// oneOf returns the condition that a row has one of some states.
func oneOf(states []stock.State) string {
	words := make([]string, len(states))
	for i, s := range states {
		words[i] = "'" + s.String() + "'"
	}
	return "state IN (" + strings.Join(words, ", ") + ")"
}
