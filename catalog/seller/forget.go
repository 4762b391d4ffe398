package seller

import (
	"context"
	"database/sql"
	"errors"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/replay"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
)

const (
	selectSellersOf = "SELECT seller_id FROM seller_members__ WHERE user_id = ? ORDER BY seller_id"
	deleteApprovals = "DELETE FROM seller_approvals__ WHERE user_id = ?"
)

// actErase ends a membership because its user is erased.
const actErase = "erase"

// Forget takes an erased user from all sellers, in all places, and deletes the approvals and the kept answers. The histories of sellers and
// the log of privileged acts keep who did what, as an id that is nobody's. It may be done again. A seller whose last owner is erased stays
// as it is, until ops or an admin moves it; an application that loses an approval before it is open needs another one.
func (s *Sellers) Forget(ctx context.Context, user ids.User) error {
	var faults []error // a place that is away keeps back its own only
	for _, p := range s.databases.All(shard.Values) {
		faults = append(faults, s.forget(ctx, p, user))
	}
	return errors.Join(faults...)
}

func (s *Sellers) forget(ctx context.Context, p place.Place, user ids.User) error {
	var of []ids.Seller
	err := db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		var id ids.Seller
		err := row.Scan(&id)
		of = append(of, id)
		return err
	}, selectSellersOf, user)
	if err != nil {
		return readError(p, err)
	}
	by := Caller{Author: audit.Author{Actor: audit.Of(auth.RoleShopper.String(), int64(user))}, User: user}
	for _, id := range of {
		err := s.write(ctx, id, by, func(c *change) error {
			if _, err := c.lock(ctx, id); err != nil {
				return err
			}
			role, err := c.role(ctx, id, user)
			if err != nil || role == "" {
				return err
			}
			return c.take(ctx, id, user, actErase)
		})
		if err != nil {
			return err
		}
	}
	if _, err := p.In(p.Writer()).ExecContext(ctx, deleteApprovals, user); err != nil {
		return db.WriteError("forget approvals", err)
	}
	_, err = replay.Of(owner, p.Suffix).Forget(ctx, p.Writer(), int64(user))
	return err
}
