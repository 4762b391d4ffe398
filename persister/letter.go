package persister

import (
	"crypto/sha256"
	"log/slog"
	"strings"

	"sluice/core/event"
	"sluice/core/ledger"
)

// Why something is a dead letter: a fixed set of words, also of metrics.
const (
	reasonVersion      = ledger.ReasonVersion
	reasonMalformed    = ledger.ReasonMalformed
	reasonInconsistent = ledger.ReasonInconsistent
	reasonFork         = ledger.ReasonFork
	reasonRefused      = ledger.ReasonRefused
	reasonBroken       = ledger.ReasonBroken
)

var reasons = ledger.Reasons

const detailMax = 1000

// letter is a dead letter: something that cannot be applied, with the bytes as they came.
type letter struct {
	reason string
	detail string
	event  *event.Event // nil: the letter is about a whole message
	from   *origin      // nil: not read from Kafka
	data   []byte
}

// rowLetter keeps the event as a message of its own, which can be read and applied like any other.
func rowLetter(reason, detail string, r *row) letter {
	data := event.Append(nil, event.Batch{Partition: r.partition, TimeMS: r.timeMS, Events: []event.Event{r.Event}})
	return letter{reason: reason, detail: detail, event: &r.Event, from: r.from, data: data}
}

func forkLetter(r *row) letter {
	return rowLetter(reasonFork, r.String()+": the ledger has another event there", r)
}

const (
	insertLetter = "INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, " +
		"kafka_partition, kafka_offset, entry_id, data) VALUES "
	letterRow  = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?),"
	keepLetter = " ON DUPLICATE KEY UPDATE reason = dead_letters.reason" // another persister may have the same
	// In the transaction that writes letters, to tell which of them are new.
	selectLetters = "SELECT letter_id FROM dead_letters WHERE letter_id IN ("
)

func (l *letter) id() ledger.LetterID {
	return sha256.Sum256(append([]byte(l.reason+"\x00"), l.data...))
}

// values are the arguments of a letterRow.
func (l *letter) values(id ledger.LetterID) []any {
	detail := strings.ToValidUTF8(l.detail[:min(len(l.detail), detailMax)], "?")
	data := append([]byte{}, l.data...) // a message without value has nil, which would be NULL
	v := []any{id[:], l.reason, detail, nil, nil, nil, nil, nil, nil, nil, nil, data}
	if e := l.event; e != nil {
		v[3], v[4], v[5], v[6], v[7] = e.Cell.SKU, e.Cell.Pool, e.Cell.Bucket, e.Epoch, e.Seq
	}
	if l.from != nil {
		v[8], v[9], v[10] = l.from.partition, l.from.offset, l.from.entry
	}
	return v
}

// report counts and shouts about a dead letter that is new.
func (l *letter) report(m *meters, log *slog.Logger) {
	m.letters[l.reason].Inc()
	args := []any{"reason", l.reason, "detail", l.detail, "bytes", len(l.data)}
	if l.from != nil {
		args = append(args, "partition", l.from.partition, "offset", l.from.offset, "entry", l.from.entry)
	}
	log.Error("not applied, kept in dead_letters", args...)
}
