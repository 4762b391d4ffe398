package command

import (
	"strings"

	"sluice/core/sale"
)

func printSale(c *Console, s *sale.Sale) {
	c.Printf("sale %d, %s: %s (%s)\n", s.ID, s.Name, s.Phase(s.NowMS), saleWindowText(s.Window))
	deducts := ""
	if s.ShopperDeducts {
		deducts = "; shoppers may deduct"
	}
	c.Printf("limit %s; hold %v; acknowledge %v%s\n", limitText(s.Limit), s.Hold, s.Ack, deducts)
	if s.ExtendMax != 0 {
		c.Printf("A hold may be extended by %v at most.\n", s.ExtendMax)
	}
	if s.RegisteredOnly {
		c.Printf("Only registered users may take: sluice sale register %d registers some.\n", s.ID)
	}
	if !s.Filled {
		c.Printf("It has not got all its stock: it can be opened after sluice sale fill %d\n", s.ID)
	}
	t := c.table()
	t.row("SKU", "PLANNED", "MOVED", "AVAIL", "HELD", "SOLD", "NOTES")
	for i, item := range s.Items {
		now := s.Stock[i]
		var notes []string
		if !now.Settled {
			notes = append(notes, "stock is under way: repeat the command that moves it")
		}
		if !now.WindowSet {
			notes = append(notes, "window not applied: repeat the command that sets it")
		}
		if now.Cell.Frozen || now.Cell.Fenced || now.Cell.Breached {
			notes = append(notes, flagsText(&now.Cell))
		}
		t.row(item.SKU, number(item.Quantity), number(now.Moved), number(now.Cell.Avail), number(now.Cell.Held),
			number(now.Cell.Sold), strings.Join(notes, "; "))
	}
	t.flush()
}

// saleWindowText describes a sale's window, which may have ended before it began.
func saleWindowText(w sale.Window) string {
	if w.ClosesAtMS == 0 || w.ClosesAtMS > w.OpensAtMS {
		return windowText(w.OpensAtMS, w.ClosesAtMS)
	}
	text := "closed before it opened, " + timeText(w.ClosesAtMS)
	if w.OpensAtMS != sale.NotScheduled {
		text += "; its opening was to be " + timeText(w.OpensAtMS)
	}
	return text
}
