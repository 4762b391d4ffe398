package command

import (
	"context"
	"time"

	"sluice/core/ledger"
	"sluice/core/sale"
)

// SaleList lists sales.
type SaleList struct {
	Stores  `embed:""`
	Listing `embed:""`

	Phase string `enum:",planned,scheduled,open,closed" default:"" placeholder:"PHASE" help:"Only sales that are planned, scheduled, open or closed."`
}

// Help is called by kong.
func (SaleList) Help() string {
	return `Lists sales by id; sale show shows the stock of one. Phases are judged by Redis' clock.

Examples:
  sluice sale list
  sluice sale list --phase open -o json`
}

// Run is called by kong.
func (s *SaleList) Run(ctx context.Context, c *Console) error {
	return s.read(ctx, c, func(books *ledger.Reader) error {
		list, err := books.Sales(ctx, ledger.SaleFilter{Phase: sale.Phase(s.Phase)}, s.page())
		if err != nil {
			return err
		}
		header := []any{"SALE", "PHASE", "OPENS", "CLOSES", "LIMIT", "HOLD", "ACK", "NAME"}
		return showList(c, &s.Listing, list, "sale matches", header, func(r *ledger.Sale) []any {
			hold := time.Duration(r.HoldMS) * time.Millisecond
			return []any{r.ID, r.Phase, momentText(r.OpensAt), momentText(r.ClosesAt), limitText(r.Limit), hold, r.Ack, r.Name}
		})
	})
}
