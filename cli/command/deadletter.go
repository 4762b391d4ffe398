package command

import (
	"context"
	"fmt"

	"sluice/core/ledger"
)

// DeadLetterShow shows a dead letter.
type DeadLetterShow struct {
	Books  `embed:""`
	Output `embed:""`

	ID string `arg:"" name:"id" help:"Id of the dead letter: 64 hexadecimal digits."`
}

// Help is called by kong.
func (DeadLetterShow) Help() string {
	return `Shows a dead letter and the events in it, as far as this program can read them.

Example:
  sluice deadletter show 3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8550`
}

// Run is called by kong.
func (d *DeadLetterShow) Run(ctx context.Context, c *Console) error {
	id, err := ledger.ParseLetterID(d.ID)
	if err != nil {
		return bookError(err)
	}
	return d.read(ctx, func(books *ledger.Reader) error {
		l, err := books.Letter(ctx, id)
		if err != nil {
			return err
		}
		if d.json() {
			return c.JSON(l)
		}
		printLetter(c, &l)
		return nil
	})
}

func printLetter(c *Console, l *ledger.LetterContent) {
	c.Printf("dead letter %s: %s\n%s: %s\n", l.ID.String(), letterStatus(&l.Letter), l.Reason, l.Detail)
	c.Printf("since %s, %s bytes", momentText(l.CreatedAt), number(l.Bytes))
	if l.KafkaPartition != nil && l.KafkaOffset != nil {
		c.Printf(", from Kafka partition %d, offset %d", *l.KafkaPartition, *l.KafkaOffset)
	}
	if l.Entry != "" {
		c.Printf(", outbox entry %s", l.Entry)
	}
	c.Printf("\n")
	switch {
	case l.Evidence && l.Reason == ledger.ReasonFork:
		c.Printf("The partition of its SKU stays shut until it is resolved.\n")
	case l.Evidence:
		c.Printf("A Redis that lacks its event stays shut until it is resolved.\n")
	}
	if l.ResolvedAt != 0 {
		c.Printf("resolved %s by %s: %s\n", momentText(l.ResolvedAt), l.ResolvedBy, l.Resolution)
	}
	if l.ReplayAskedAt != 0 {
		c.Printf("%s asked %s for it to be applied again; no persister has done it yet\n", l.ReplayAskedBy, momentText(l.ReplayAskedAt))
	}
	if l.ReplayRefusal != "" {
		c.Printf("not applied again: %s\n", l.ReplayRefusal)
	}
	if l.Unread != "" {
		c.Printf("no events can be read from it: %s\nits bytes: %s\n", l.Unread, l.Data)
		return
	}
	c.Printf("events of partition %d at %s:\n", l.Partition, timeText(l.RedisMS))
	t := c.table()
	t.row("EVENT", "SKU", "SALE", "BUCKET", "EPOCH.SEQ", "RESERVATION", "USER", "QUANTITY", "DELTA", "AVAIL", "HELD", "SOLD", "FAULT")
	for _, e := range l.Events {
		delta := "-"
		if e.Delta != nil {
			delta = number(*e.Delta)
		}
		t.row(e.Kind, e.SKU, idText(e.Sale), e.Bucket, fmt.Sprintf("%d.%d", e.Epoch, e.Seq), e.Reservation, idText(e.User),
			number(e.Quantity), delta, number(e.Avail), number(e.Held), number(e.Sold), e.Fault)
	}
	t.flush()
}
