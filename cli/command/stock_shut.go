package command

import (
	"context"
	"errors"
	"fmt"

	"sluice/core/show"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// shutShown is how many shut cells are shown one by one; all are counted.
const shutShown = 1000

// StockShut lists what is shut until it is repaired.
type StockShut struct {
	Stores `embed:""`
	Output `embed:""`
}

// Help is called by kong.
func (StockShut) Help() string {
	return `Looks at all stock in Redis, normal and of sales, and lists the SKUs to which nothing may happen until they are repaired:
  fenced    Redis has lost effects of the SKU that were acknowledged
  breached  its counters do not add up
What an admin has frozen is not among them. At most 1,000 are listed; all are counted.

Examples:
  sluice stock shut
  sluice stock shut -o json`
}

// Run is called by kong.
func (s *StockShut) Run(ctx context.Context, c *Console) error {
	o, err := s.open(ctx)
	if err != nil {
		return err
	}
	found, err := findShut(ctx, o.stock, shutShown)
	if err := errors.Join(err, o.close()); err != nil {
		return err
	}
	if s.json() {
		cells := make([]show.Cell, len(found.some))
		for i := range found.some {
			cells[i] = show.CellOf(&found.some[i])
		}
		return c.JSON(struct {
			Fenced   int64       `json:"fenced"`
			Breached int64       `json:"breached"`
			Data     []show.Cell `json:"data"` // as every list has it
		}{found.fenced, found.breached, cells})
	}
	if len(found.some) == 0 {
		c.Printf("no SKU is shut\n")
		return nil
	}
	t := c.table()
	t.row("STOCK OF", "IS", "AVAIL", "HELD", "SOLD", "TOTAL", "EPOCH.SEQ")
	for i := range found.some {
		cell := &found.some[i]
		t.row(cellTitle(show.ID(cell.Cell.SKU), show.ID(cell.Cell.Pool)), cell.Shut(), number(cell.Avail), number(cell.Held), number(cell.Sold),
			number(cell.Total), fmt.Sprintf("%d.%d", cell.Epoch, cell.Seq))
	}
	t.flush()
	c.Printf("%s fenced, %s breached\n", number(found.fenced), number(found.breached))
	return nil
}

// shutStock is what is shut, and how much of it there is.
type shutStock struct {
	fenced, breached int64
	some             []stock.CellState
}

// findShut looks at all cells, and keeps some of the shut ones.
func findShut(ctx context.Context, store *redisstock.Store, keep int) (found shutStock, err error) {
	seen := map[stock.Cell]bool{} // a scan may find a cell twice
	for p := range store.Partitions() {
		for cursor := uint64(0); ; {
			shut, next, err := store.ShutCells(ctx, p, cursor)
			if err != nil {
				return shutStock{}, fmt.Errorf("look for shut cells: %w", err)
			}
			for _, cell := range shut {
				if seen[cell.Cell] {
					continue
				}
				seen[cell.Cell] = true
				if cell.Fenced {
					found.fenced++
				} else {
					found.breached++
				}
				if len(found.some) < keep {
					found.some = append(found.some, cell)
				}
			}
			if cursor = next; cursor == 0 {
				break
			}
		}
	}
	return found, nil
}

// shutText says why a cell is shut, and what that means.
func shutText(why stock.Verdict) string {
	cause := "its counters do not add up"
	if why == stock.VerdictFenced {
		cause = "Redis has lost effects that were acknowledged"
	}
	return fmt.Sprintf("%v, because %s: nothing happens to it until it is repaired", why, cause)
}
