package command

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"sluice/core/sale"
	"sluice/core/show"
	"sluice/core/stock"
)

// table writes rows in aligned columns. Anybody may have written the texts in its cells; see shown.
type table struct {
	w *tabwriter.Writer
}

func (c *Console) table() table {
	return table{tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)}
}

// Table writes rows in aligned columns.
func (c *Console) Table(rows ...[]any) {
	t := c.table()
	for _, row := range rows {
		t.row(row...)
	}
	t.flush()
}

func (t table) row(cells ...any) {
	for i, cell := range shown(cells) {
		if i > 0 {
			_, _ = fmt.Fprint(t.w, "\t") // see Console.Written, for all of these
		}
		_, _ = fmt.Fprint(t.w, cell)
	}
	_, _ = fmt.Fprintln(t.w)
}

func (t table) flush() { _ = t.w.Flush() }

// number returns n with commas.
func number(n int64) string { return humanize.Comma(n) }

// timeText returns a Redis time for people: UTC, to the millisecond.
func timeText(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

func limitText(limit int64) string {
	if limit == 0 {
		return "none"
	}
	return number(limit) + " per user"
}

func windowText(opensAtMS, closesAtMS int64) string {
	opens, closes := "always open", "never closes"
	switch opensAtMS {
	case 0:
	case sale.NotScheduled:
		opens = "not scheduled"
	default:
		opens = "opens " + timeText(opensAtMS)
	}
	if closesAtMS != 0 {
		closes = "closes " + timeText(closesAtMS)
	}
	return opens + ", " + closes
}

// cellTitle names a cell for people.
func cellTitle(sku, sale show.ID) string {
	if sale == 0 {
		return fmt.Sprintf("SKU %d", sku)
	}
	return fmt.Sprintf("SKU %d in sale %d", sku, sale)
}

// holdText says how long a cell holds, and by how much more it may.
func holdText(c *stock.CellState) string {
	if c.ExtendMax == 0 {
		return c.Hold.String()
	}
	return fmt.Sprintf("%v, to be extended by %v at most", c.Hold, c.ExtendMax)
}

// flagsText lists the marks that a cell has only at times.
func flagsText(c *stock.CellState) string {
	var flags []string
	for _, f := range []struct {
		set  bool
		name string
	}{
		{c.Frozen, "frozen"}, {c.Fenced, "fenced"}, {c.Breached, "breached"}, {c.ShopperDeducts, "shopper deducts"}, {c.RegisteredOnly, "registered only"},
	} {
		if f.set {
			flags = append(flags, f.name)
		}
	}
	if len(flags) == 0 {
		return "none"
	}
	return strings.Join(flags, ", ")
}

// explain returns what a verdict means for an operator, and what to do.
func explain(v stock.Verdict) string {
	switch v {
	case stock.VerdictSoldOut:
		return "refused: fewer units are available than are to be taken away"
	case stock.VerdictMismatch:
		return "refused: its key was used for another change"
	case stock.VerdictWrongState:
		return "refused: it exists already"
	case stock.VerdictNotLoaded:
		return "refused: it is not loaded"
	case stock.VerdictFenced:
		return "refused: it is fenced, because Redis lost some of its history"
	case stock.VerdictBreached:
		return "refused: it is breached, because its counters do not add up"
	case stock.VerdictOK, stock.VerdictReplayed, stock.VerdictLimitReached, stock.VerdictNotOpen, stock.VerdictClosed,
		stock.VerdictUnknownReservation, stock.VerdictWrongUser, stock.VerdictBackpressure, stock.VerdictFrozen,
		stock.VerdictNotRegistered, stock.VerdictReplicaMissing, stock.VerdictRefused, stock.VerdictUsersMissing:
	}
	return "refused: " + v.String()
}
