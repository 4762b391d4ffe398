package command

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"sluice/core/ledger"
	"sluice/core/stock"
)

// ReservationShow shows everything that is known of one reservation.
type ReservationShow struct {
	Stores `embed:""`
	Output `embed:""`

	ID string `arg:"" name:"id" help:"Reservation id: 32 hexadecimal digits."`
}

// Help is called by kong.
func (ReservationShow) Help() string {
	return `Shows the record in Redis, which decides, the row in MySQL, and the events of the ledger. Ids of adjustments
and of the halves of a transfer are understood too, as long as Redis remembers them. A basket has the id of its
smallest line, so that line also shows what became of its basket.

Example:
  sluice reservation show 002a7c0e0d8f1b3c5d7e9f10213243a5`
}

type reservationRecord struct {
	State      string `json:"state"`
	SKU        string `json:"sku_id"`
	Sale       string `json:"sale_id,omitempty"`
	User       string `json:"user_id"`
	Quantity   int64  `json:"quantity"`
	Seq        uint64 `json:"seq"`
	DeadlineMS int64  `json:"deadline_ms,omitempty"`
}

// basketReport is a basket as Redis has it. Its id is that of its smallest line, so only that line leads to it.
type basketReport struct {
	State   string `json:"state"`
	Refusal string `json:"refusal,omitempty"` // of one of its lines
}

type reservationReport struct {
	ID        string             `json:"reservation_id"`
	Partition int                `json:"partition"`
	Redis     *reservationRecord `json:"redis"`
	MySQL     *reservationRecord `json:"mysql"`
	Basket    *basketReport      `json:"basket,omitempty"`
	Ledger    []ledger.Event     `json:"ledger"`

	older string // where further events may be
}

// Run is called by kong.
func (r *ReservationShow) Run(ctx context.Context, c *Console) error {
	id, err := stock.ParseReservationID(r.ID)
	if err != nil {
		return usage(err)
	}
	if id.Partition() >= r.Stock.Partitions {
		return usage(fmt.Errorf("partition %d of the id: this deployment has %d (--partitions)", id.Partition(), r.Stock.Partitions))
	}
	o, err := r.Open(ctx)
	if err != nil {
		return err
	}
	report, err := o.reservation(ctx, id)
	if err := errors.Join(err, o.Close()); err != nil {
		return err
	}
	if r.json() {
		err = c.JSON(report)
	} else {
		report.print(c)
	}
	if report.Redis == nil && report.MySQL == nil {
		err = errors.Join(err, notFound(fmt.Errorf("no reservation %v%s", id, report.older)))
	}
	return err
}

func (o *Opened) reservation(ctx context.Context, id stock.ReservationID) (*reservationReport, error) {
	report := &reservationReport{ID: id.String(), Partition: id.Partition(), Ledger: []ledger.Event{}}
	var cell stock.Cell
	row, err := o.Books().Reservation(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read MySQL: %w", err)
	}
	if row != nil {
		cell, report.MySQL = row.Cell, recordOf(row.State, row)
	}
	found, nowMS, err := o.Stock.Reservations(ctx, []stock.ReservationID{id})
	if err != nil {
		return nil, fmt.Errorf("read Redis: %w", err)
	}
	if res := found[0]; res.State != stock.StateNone {
		cell = res.Cell
		report.Redis = recordOf(res.StateAt(nowMS), &res)
	}
	baskets, err := o.Stock.Baskets(ctx, []stock.ReservationID{id})
	if err != nil {
		return nil, fmt.Errorf("read Redis: %w", err)
	}
	report.Basket = basketOf(baskets[0])
	if cell.SKU == 0 {
		archived, err := o.Books().Archived(ctx)
		if archived.Files > 0 {
			report.older = fmt.Sprintf("; those that ended before %s may be in files: sluice archive show", momentText(archived.Before))
		}
		return report, err
	}
	report.Ledger, err = o.Books().Events(ctx, cell, id)
	return report, err
}

// basketOf returns nil for a reservation that names no basket.
func basketOf(b stock.BasketRecord) *basketReport {
	switch b.State {
	case stock.BasketNone:
		return nil
	case stock.BasketRefusing, stock.BasketRefused:
		return &basketReport{b.State.String(), b.Refusal.String()}
	case stock.BasketBegun, stock.BasketHeld:
	}
	return &basketReport{State: b.State.String()}
}

func recordOf(state stock.State, r *stock.Reservation) *reservationRecord {
	record := &reservationRecord{
		State: state.String(), SKU: strconv.FormatInt(r.Cell.SKU, 10), User: strconv.FormatInt(r.User, 10),
		Quantity: r.Quantity, Seq: r.Seq, DeadlineMS: r.DeadlineMS,
	}
	if r.Cell.Pool != 0 {
		record.Sale = strconv.FormatUint(uint64(r.Cell.Pool), 10)
	}
	return record
}

func (r *reservationReport) print(c *Console) {
	c.Printf("reservation %s (partition %d)\n", r.ID, r.Partition)
	if r.Redis != nil || r.MySQL != nil {
		t := c.table()
		t.row("", "STATE", "SKU", "SALE", "USER", "QUANTITY", "SEQ", "DEADLINE")
		r.Redis.row(t, "Redis")
		r.MySQL.row(t, "MySQL")
		t.flush()
	}
	switch b := r.Basket; {
	case b == nil:
	case b.Refusal == "":
		c.Printf("smallest line of a basket that is %s\n", b.State)
	default:
		c.Printf("smallest line of a basket that is %s: %s\n", b.State, b.Refusal)
	}
	if len(r.Ledger) > 0 {
		c.Printf("\n")
		t := c.table()
		t.row("EVENT", "EPOCH.SEQ", "TIME", "AVAIL", "HELD", "SOLD", "DELTA", "REASON")
		for _, e := range r.Ledger {
			delta := "-"
			if e.Delta != nil {
				delta = number(*e.Delta)
			}
			t.row(e.Kind, fmt.Sprintf("%d.%d", e.Epoch, e.Seq), timeText(e.RedisMS), number(e.Avail), number(e.Held), number(e.Sold), delta, e.Reason)
		}
		t.flush()
	}
}

func (r *reservationRecord) row(t table, where string) {
	if r == nil {
		t.row(where, "-", "-", "-", "-", "-", "-", "-")
		return
	}
	sale, deadline := r.Sale, "-"
	if sale == "" {
		sale = "-"
	}
	if r.DeadlineMS != 0 {
		deadline = timeText(r.DeadlineMS)
	}
	t.row(where, r.State, r.SKU, sale, r.User, number(r.Quantity), r.Seq, deadline)
}
