package command

import (
	"context"
	"errors"
	"fmt"

	"sluice/core/reconcile"
	"sluice/core/show"
	"sluice/core/stock"
)

// ShutShown is how many shut cells are shown one by one. All are counted.
const ShutShown = 1000

// StockShut lists what is shut until somebody repairs it.
type StockShut struct {
	Stores `embed:""`
	Output `embed:""`
}

// Help is called by kong.
func (StockShut) Help() string {
	return `Looks at all stock in Redis, normal and of sales, and lists the SKUs that are shut until somebody repairs them:
  fenced    Redis has lost effects of the SKU that were acknowledged
  breached  its counters do not add up
SKUs that an admin has frozen are not among them. At most 1,000 are listed; all are counted. A partition that has lost
something is shut as a whole, and nothing is known of its SKUs. Then the command names it, and the exit code is 1.

Examples:
  sluice stock shut
  sluice stock shut -o json`
}

// Run is called by kong.
func (s *StockShut) Run(ctx context.Context, c *Console) error {
	o, err := s.Open(ctx)
	if err != nil {
		return err
	}
	found, err := reconcile.FindShut(ctx, o.Stock, ShutShown)
	if err := errors.Join(err, o.Close()); err != nil {
		return err
	}
	if s.json() {
		return errors.Join(c.JSON(found.Show()), shutPartitions(found.Partitions))
	}
	if found.Total() == 0 {
		if len(found.Partitions) == 0 {
			c.Printf("no SKU is shut as of %s\n", timeText(found.AsOfMS))
		}
		return shutPartitions(found.Partitions)
	}
	t := c.table()
	t.row("STOCK OF", "IS", "AVAIL", "HELD", "SOLD", "TOTAL", "EPOCH.SEQ")
	for i := range found.Some {
		cell := &found.Some[i]
		t.row(cellTitle(show.ID(cell.Cell.SKU), show.ID(cell.Cell.Pool)), cell.Shut(), number(cell.Avail), number(cell.Held), number(cell.Sold),
			number(cell.Total), fmt.Sprintf("%d.%d", cell.Epoch, cell.Seq))
	}
	t.flush()
	c.Printf("%s fenced, %s breached as of %s\n", number(found.Fenced), number(found.Breached), timeText(found.AsOfMS))
	return shutPartitions(found.Partitions)
}

// shutPartitions returns the error of partitions that are shut as a whole; nil if there are none.
func shutPartitions(closed []int) error {
	if len(closed) == 0 {
		return nil
	}
	return closedError(stock.PartitionsText(closed) + " cannot be looked at: shut as a whole until vetted")
}

// closedError is about partitions that are shut. The command did not try to execute anything there, so the error has
// a text of its own.
type closedError string

// Error implements error.
func (e closedError) Error() string { return string(e) }

// Is makes errors.Is compare it with stock.ErrShut, whose advice says what to do.
func (closedError) Is(target error) bool { return target == stock.ErrShut }

// shutText says why a cell is shut, and what that means.
func shutText(why stock.Verdict) string {
	cause := "its counters do not add up"
	if why == stock.VerdictFenced {
		cause = "Redis has lost effects that were acknowledged"
	}
	return fmt.Sprintf("%v, because %s: nothing happens to it until it is repaired", why, cause)
}
