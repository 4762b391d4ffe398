package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"

	"sluice/catalog/account/internal/rows"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/web"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/stock"
)

// KeptAddress is an address as it is kept.
type KeptAddress struct {
	ID ids.Address `json:"address_id"`
	Address
	Default bool `json:"default"`

	Version web.Version `json:"-"`
}

// Addresses lists addresses of a user by their ids, from one on.
func (a *Accounts) Addresses(ctx context.Context, user ids.User, first ids.Address, limit int) ([]KeptAddress, error) {
	p, err := a.person(ctx, user, selectPerson)
	if err != nil {
		return nil, err
	}
	list, err := rows.New(p.place.In(p.place.Writer())).Addresses(ctx, rows.AddressesParams{UserID: user, First: first, Limit: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("addresses", "addresses"+p.place.Suffix, err))
	}
	all := make([]KeptAddress, len(list))
	for i, row := range list {
		if all[i], err = p.address(row.AddressID, row.Version, row.IsDefault, row.Sealed); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Address is an address of a user.
func (a *Accounts) Address(ctx context.Context, user ids.User, id ids.Address) (KeptAddress, error) {
	p, err := a.person(ctx, user, selectPerson)
	if err != nil {
		return KeptAddress{}, err
	}
	row, err := rows.New(p.place.In(p.place.Writer())).Address(ctx, rows.AddressParams{UserID: user, AddressID: id})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return KeptAddress{}, errNoAddress
	case err != nil:
		return KeptAddress{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("address", "addresses"+p.place.Suffix, err))
	}
	return p.address(row.AddressID, row.Version, row.IsDefault, row.Sealed)
}

func (p person) address(id ids.Address, version int64, isDefault sql.NullBool, sealed []byte) (KeptAddress, error) {
	kept := KeptAddress{ID: id, Default: isDefault.Bool, Version: web.Version(version)}
	err := p.open(addressField(id), sealed, &kept.Address)
	return kept, err
}

// AddAddress adds an address.
func (a *Accounts) AddAddress(ctx context.Context, user ids.User, of asked, address Address, isDefault bool) (replay.Answer, error) {
	address, refused := address.formed()
	if refused != nil {
		return replay.Answer{}, refused
	}
	return a.once(ctx, user, of, func(w writing) (replay.Answer, error) {
		n, err := w.CountAddresses(ctx, user)
		if err != nil {
			return replay.Answer{}, db.WriteError("count addresses", err)
		}
		if n >= AddressesMax {
			return replay.Answer{}, &problem.Problem{Kind: problem.WrongState, Detail: fmt.Sprintf("there are %d addresses already: remove one first", n)}
		}
		kept := KeptAddress{ID: ids.Random[ids.Address](), Address: address, Default: isDefault, Version: 1}
		sealed, err := w.prepare(ctx, kept)
		if err != nil {
			return replay.Answer{}, err
		}
		err = w.InsertAddress(ctx, rows.InsertAddressParams{UserID: user, AddressID: kept.ID, IsDefault: trueOrNull(isDefault), Sealed: sealed})
		if err != nil {
			return replay.Answer{}, db.WriteError("write address", err)
		}
		return answerOf(http.StatusCreated, kept.Version, kept)
	})
}

// ChangeAddress writes an address that has a version anew.
func (a *Accounts) ChangeAddress(ctx context.Context, user ids.User, of asked, id ids.Address, match web.Version, address Address, isDefault bool) (replay.Answer, error) {
	address, refused := address.formed()
	if refused != nil {
		return replay.Answer{}, refused
	}
	return a.changeAddress(ctx, user, of, id, match, func(w writing, version web.Version) (replay.Answer, error) {
		kept := KeptAddress{ID: id, Address: address, Default: isDefault, Version: version + 1}
		sealed, err := w.prepare(ctx, kept)
		if err != nil {
			return replay.Answer{}, err
		}
		err = w.UpdateAddress(ctx, rows.UpdateAddressParams{IsDefault: trueOrNull(isDefault), Sealed: sealed, UserID: user, AddressID: id})
		if err != nil {
			return replay.Answer{}, db.WriteError("write address", err)
		}
		return answerOf(http.StatusOK, kept.Version, kept)
	})
}

// RemoveAddress removes an address that has a version.
func (a *Accounts) RemoveAddress(ctx context.Context, user ids.User, of asked, id ids.Address, match web.Version) (replay.Answer, error) {
	return a.changeAddress(ctx, user, of, id, match, func(w writing, _ web.Version) (replay.Answer, error) {
		if err := w.DeleteAddress(ctx, rows.DeleteAddressParams{UserID: user, AddressID: id}); err != nil {
			return replay.Answer{}, db.WriteError("delete address", err)
		}
		return replay.Answer{Status: http.StatusNoContent}, nil
	})
}

// changeAddress changes an address that has the version of If-Match.
func (a *Accounts) changeAddress(ctx context.Context, user ids.User, of asked, id ids.Address, match web.Version, do func(writing, web.Version) (replay.Answer, error)) (replay.Answer, error) {
	return a.once(ctx, user, of, func(w writing) (replay.Answer, error) {
		row, err := w.Address(ctx, rows.AddressParams{UserID: user, AddressID: id})
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return replay.Answer{}, errNoAddress
		case err != nil:
			return replay.Answer{}, db.WriteError("read address", err)
		case web.Version(row.Version) != match:
			return replay.Answer{}, web.ErrChanged
		}
		return do(w, match)
	})
}

// prepare seals an address, and takes the default from the others if it is the default.
func (w writing) prepare(ctx context.Context, kept KeptAddress) ([]byte, error) {
	if kept.Default {
		if err := w.UnsetDefault(ctx, rows.UnsetDefaultParams{UserID: w.id, AddressID: kept.ID}); err != nil {
			return nil, db.WriteError("write address", err)
		}
	}
	return w.seal(addressField(kept.ID), kept.Address)
}

// trueOrNull is how the table has it, whose unique key takes one TRUE and any number of NULL.
func trueOrNull(is bool) sql.NullBool { return sql.NullBool{Bool: is, Valid: is} }
