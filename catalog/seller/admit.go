package seller

import (
	"context"
	"database/sql"
	"errors"

	"sluice/core/ids"
)

const (
	selectAdmitted = "SELECT s.state FROM sellers__ AS s WHERE " + isReader
	selectState    = "SELECT state FROM sellers__ WHERE seller_id = ?"
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
