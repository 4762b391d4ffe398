package command

import (
	"context"

	"sluice/core/ledger"
	"sluice/core/show"
	"sluice/core/stock"
)

// ReservationList lists reservations.
type ReservationList struct {
	Stores  `embed:""`
	Listing `embed:""`

	User  int64  `placeholder:"ID" between:"1-9223372036854775807" help:"Only those of a user."`
	SKU   int64  `placeholder:"ID" between:"1-9223372036854775807" help:"Only those of a SKU: of its normal stock, or in a sale with --sale."`
	Sale  uint32 `placeholder:"ID" between:"1-4294967295" help:"Only those of a sale."`
	State string `enum:",held,confirmed,released,expired,revoked,returned" default:"" placeholder:"STATE" help:"Only held, confirmed, released, expired, revoked or returned ones. Needs a user, a SKU or a sale."`
}

// Help is called by kong.
func (ReservationList) Help() string {
	return `Lists what MySQL has. MySQL lags behind: the list says up to which time it is complete. Redis decides, and
sluice reservation show asks it.

Examples:
  sluice reservation list --sale 7 --state held
  sluice reservation list --user 42
  sluice reservation list --sku 1001 -o json --limit 500`
}

// Run is called by kong.
func (r *ReservationList) Run(ctx context.Context, c *Console) error {
	return r.read(ctx, c, func(books *ledger.Reader) error {
		list, err := books.Reservations(ctx, ledger.ReservationFilter{
			User: r.User, SKU: r.SKU, Sale: r.Sale, State: stock.ParseState(r.State),
		}, r.page())
		if err != nil {
			return err
		}
		if archived, err := books.Archived(ctx); err != nil {
			return err
		} else if archived.Files > 0 {
			c.Notef("those that ended before %s may be in files: sluice archive show", momentText(archived.Before))
		}
		header := []any{"RESERVATION", "SKU", "SALE", "USER", "QUANTITY", "STATE", "RESERVED", "EXPIRES"}
		return showList(c, &r.Listing, list, "reservation matches", header, func(r *ledger.Reservation) []any {
			return []any{
				r.ID, r.SKU, idText(r.Sale), idText(r.User), number(r.Quantity), r.State,
				momentText(show.Moment(r.ReservedMS)), momentText(r.ExpiresAt),
			}
		})
	})
}
