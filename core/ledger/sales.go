package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"sluice/core/sale"
	"sluice/core/show"
)

// Sale is a sale without its stock.
type Sale struct {
	ID             show.ID     `json:"sale_id"`
	Name           string      `json:"name"`
	Phase          sale.Phase  `json:"phase"`
	OpensAt        show.Moment `json:"opens_at,omitzero"` // 0: not scheduled
	ClosesAt       show.Moment `json:"closes_at,omitzero"`
	Limit          int64       `json:"limit,omitzero"` // 0: none
	HoldMS         int64       `json:"hold_ms"`
	Ack            string      `json:"ack"`
	ShopperDeducts bool        `json:"shopper_deducts"`
	RegisteredOnly bool        `json:"registered_only"`
	ExtendMaxMS    int64       `json:"extend_max_ms,omitzero"`
	CreatedAt      show.Moment `json:"created_at"`
}

// SaleFilter says which sales to list.
type SaleFilter struct {
	Phase sale.Phase // empty: any
}

type saleKey struct{ ID show.ID }

// salesPerRead is how many sales one statement reads if the list is of one phase, because most sales may have
// another.
const salesPerRead = 1000

// Sales lists sales by id. MySQL is their home, so the list is complete. Their phase follows Redis' clock, or MySQL's
// if Redis cannot be asked.
func (r *Reader) Sales(ctx context.Context, f SaleFilter, p Page) (List[Sale], error) {
	limit, err := p.limit()
	if err != nil {
		return List[Sale]{}, err
	}
	switch f.Phase {
	case "", sale.PhasePlanned, sale.PhaseScheduled, sale.PhaseOpen, sale.PhaseClosed:
	default:
		return List[Sale]{}, fmt.Errorf("%w: phase %q: want planned, scheduled, open or closed", ErrFilter, f.Phase)
	}
	in := scope("sales", f)
	after, err := keyOf[saleKey](in, p.Cursor)
	if err != nil {
		return List[Sale]{}, err
	}
	_, nowMS := r.persisted(ctx)
	if nowMS == 0 {
		if nowMS, err = r.nowMS(ctx); err != nil {
			return List[Sale]{}, err
		}
	}
	found := make([]Sale, 0, limit+1)
	var end *saleKey
	for examined := 0; len(found) <= limit; {
		if examined >= examinedMax {
			end = &after
			break
		}
		read := 0
		err = r.read(ctx, "sales", func(rows *sql.Rows) error {
			s, err := scanSale(rows, nowMS)
			read++
			after.ID = s.ID
			if err == nil && (f.Phase == "" || f.Phase == s.Phase) && len(found) <= limit {
				found = append(found, s)
			}
			return err
		}, `SELECT sale_id, name, opens_at_ms, closes_at_ms, limit_per_user, hold_ms, acknowledge, shopper_deducts,
			registered_only, extend_ms, created_at
			FROM sales WHERE sale_id > ? ORDER BY sale_id LIMIT ?`, after.ID, salesPerRead)
		if err != nil {
			return List[Sale]{}, err
		}
		if examined += read; read < salesPerRead {
			break
		}
	}
	list := listOf(found, limit, in, func(s *Sale) saleKey { return saleKey{s.ID} }, end)
	list.AsOf = show.Moment(nowMS)
	return list, nil
}

func scanSale(rows *sql.Rows, nowMS int64) (Sale, error) {
	var s Sale
	var w sale.Window
	var created sql.NullTime
	err := rows.Scan(&s.ID, &s.Name, &w.OpensAtMS, &w.ClosesAtMS, &s.Limit, &s.HoldMS, &s.Ack, &s.ShopperDeducts,
		&s.RegisteredOnly, &s.ExtendMaxMS, &created)
	s.Phase, s.ClosesAt, s.CreatedAt = w.Phase(nowMS), show.Moment(w.ClosesAtMS), momentOf(created)
	if w.OpensAtMS != sale.NotScheduled {
		s.OpensAt = show.Moment(w.OpensAtMS)
	}
	return s, err
}

// nowMS returns the time of the database.
func (r *Reader) nowMS(ctx context.Context) (ms int64, err error) {
	err = r.read(ctx, "time", func(rows *sql.Rows) error {
		var now sql.NullTime
		err := rows.Scan(&now)
		ms = int64(momentOf(now))
		return err
	}, "SELECT NOW(3)")
	return ms, err
}
