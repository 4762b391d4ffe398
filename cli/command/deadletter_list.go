package command

import (
	"context"
	"fmt"
	"strconv"

	"sluice/core/ledger"
)

// DeadLetterList lists dead letters.
type DeadLetterList struct {
	Books   `embed:""`
	Listing `embed:""`

	Reason    string `placeholder:"WORD" help:"Only those with a reason: unknown_version, malformed, inconsistent, fork, refused or broken_chain."`
	Partition *int   `placeholder:"N" between:"0-2147483647" help:"Only those that were read from a Kafka partition."`
	Resolved  string `enum:"false,true,any" default:"false" placeholder:"WHICH" help:"Show unresolved ones (false), resolved ones (true), or any."`
}

// Help is called by kong.
func (DeadLetterList) Help() string {
	return `Lists what a persister could not apply, the newest first.

Examples:
  sluice deadletter list
  sluice deadletter list --reason fork --resolved any
  sluice deadletter list --partition 3 -o json --limit 500`
}

// Run is called by kong.
func (d *DeadLetterList) Run(ctx context.Context, c *Console) error {
	return d.read(ctx, func(books *ledger.Reader) error {
		list, err := books.Letters(ctx, ledger.LetterFilter{Reason: d.Reason, Partition: d.Partition, Resolved: d.Resolved}, d.page())
		if err != nil {
			return err
		}
		header := []any{"DEAD LETTER", "SINCE", "REASON", "SKU", "SALE", "EPOCH.SEQ", "PARTITION", "STATUS"}
		return showList(c, &d.Listing, list, "dead letter matches", header, func(l *ledger.Letter) []any {
			position, partition := "-", "-"
			if l.Epoch != 0 {
				position = fmt.Sprintf("%d.%d", l.Epoch, l.Seq)
			}
			if l.KafkaPartition != nil {
				partition = strconv.FormatInt(*l.KafkaPartition, 10)
			}
			return []any{l.ID.String(), momentText(l.CreatedAt), l.Reason, idText(l.SKU), idText(l.Sale), position, partition, letterStatus(l)}
		})
	})
}

// letterStatus is where a letter stands, in a word or two.
func letterStatus(l *ledger.Letter) string {
	switch {
	case l.ResolvedAt != 0:
		return "resolved"
	case l.ReplayAskedAt != 0:
		return "to be applied"
	case l.ReplayRefusal != "":
		return "not applied again"
	}
	return "unresolved"
}
