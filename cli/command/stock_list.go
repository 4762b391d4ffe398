package command

import (
	"context"
	"fmt"

	"sluice/core/ledger"
)

// StockList lists stock.
type StockList struct {
	Stores  `embed:""`
	Listing `embed:""`

	Sale     uint32 `placeholder:"ID" between:"1-4294967295" help:"List the stock of a sale, not the normal one."`
	AvailMax *int64 `placeholder:"UNITS" between:"0-1099511627775" help:"Only SKUs with at most so many units available."`
}

// Help is called by kong.
func (StockList) Help() string {
	return `Lists what MySQL has, by SKU. MySQL lags behind: the list says up to which time it is complete. Redis decides, and
sluice stock show asks it.

Examples:
  sluice stock list
  sluice stock list --sale 7 --avail-max 0
  sluice stock list -o json --limit 500`
}

// Run is called by kong.
func (s *StockList) Run(ctx context.Context, c *Console) error {
	return s.read(ctx, c, func(books *ledger.Reader) error {
		list, err := books.Stock(ctx, ledger.StockFilter{Sale: s.Sale, AvailMax: s.AvailMax}, s.page())
		if err != nil {
			return err
		}
		header := []any{"SKU", "SALE", "AVAIL", "HELD", "SOLD", "TOTAL", "SAFE", "EPOCH.SEQ", "UPDATED"}
		return showList(c, &s.Listing, list, "stock matches", header, func(r *ledger.Stock) []any {
			return []any{
				r.SKU, idText(r.Sale), number(r.Avail), number(r.Held), number(r.Sold), number(r.Total), number(r.SafeStock),
				fmt.Sprintf("%d.%d", r.Epoch, r.Seq), momentText(r.UpdatedAt),
			}
		})
	})
}
