package seller

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
)

const (
	selectAdmitted = "SELECT s.state FROM sellers__ AS s WHERE " + isReader
	selectState    = "SELECT state FROM sellers__ WHERE seller_id = ?"
	selectStates   = "SELECT seller_id, state FROM sellers__ WHERE seller_id IN "
)

// Admit tells the state of a seller to its people and its systems. For others there is no such seller.
func (s *Sellers) Admit(ctx context.Context, by Reader, id ids.Seller) (State, error) {
	p := s.at(id)
	var state State
	err := p.In(p.Writer()).QueryRowContext(ctx, selectAdmitted, by.of(id)...).Scan(&state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", errUnknown
	case err != nil:
		return "", readError(p, err)
	}
	return state, nil
}

// StateOf is the state of a seller that has opened, for packages that show what it has. Of others nobody is told.
func (s *Sellers) StateOf(ctx context.Context, id ids.Seller) (State, error) {
	p := s.at(id)
	var state State
	err := p.In(p.Writer()).QueryRowContext(ctx, selectState, id).Scan(&state)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && !Means(state).shown:
		return "", errUnknown
	case err != nil:
		return "", readError(p, err)
	}
	return state, nil
}

// Selling are those of some sellers whose products shoppers see. Each place that has some of them is asked once.
func (s *Sellers) Selling(ctx context.Context, some []ids.Seller) (map[ids.Seller]bool, error) {
	asked, in := map[string][]any{}, map[string]place.Place{}
	for _, id := range some {
		p := s.at(id)
		in[p.Name], asked[p.Name] = p, append(asked[p.Name], int64(id))
	}
	all := map[ids.Seller]bool{}
	for name, values := range asked {
		p := in[name]
		marks := "(?" + strings.Repeat(", ?", len(values)-1) + ")"
		err := db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
			var id ids.Seller
			var state State
			err := row.Scan(&id, &state)
			all[id] = Means(state).Listed
			return err
		}, selectStates+marks, values...)
		if err != nil {
			return nil, readError(p, err)
		}
	}
	return all, nil
}
