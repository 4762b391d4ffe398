package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"sluice/core/telemetry"
)

// The words of the faults that callers distinguish.
const (
	FaultDurability = "durability" // the server can forget what it committed
	FaultReadOnly   = "read_only"
	FaultBinlog     = "binlog_format"
)

// FaultWords are the words of the faults that Faults can return.
var FaultWords = []string{FaultDurability, FaultReadOnly, "packet", FaultBinlog}

// PacketMin is enough for the largest statements: a thousand events, or a dead letter of a megabyte.
const PacketMin = 2 << 20

// ReadOnly asks whether a server takes no writes. In MariaDB 12, read_only is a word and no number.
const ReadOnly = "(UPPER(CAST(@@global.read_only AS CHAR)) NOT IN ('0', 'OFF') OR @@global.innodb_read_only)"

// Faults asks a server for its settings, and returns those that may lose or stop writes.
func Faults(ctx context.Context, db *sql.DB) ([]telemetry.Fault, error) {
	var flush, syncBinlog, packet int64
	var binlog, readOnly bool
	var format string
	row := db.QueryRowContext(ctx, `SELECT @@global.innodb_flush_log_at_trx_commit, @@global.sync_binlog, @@global.log_bin,
		@@global.binlog_format, `+ReadOnly+`, @@global.max_allowed_packet`)
	if err := row.Scan(&flush, &syncBinlog, &binlog, &format, &readOnly, &packet); err != nil {
		return nil, fmt.Errorf("read server settings: %w", err)
	}
	var faults []telemetry.Fault
	fault := func(word, found, do string) {
		faults = append(faults, telemetry.Fault{Word: word, Found: found, Do: do})
	}
	if flush != 1 {
		fault(FaultDurability, fmt.Sprintf("innodb_flush_log_at_trx_commit is %d: a crash loses commits", flush), "set it to 1")
	}
	if binlog && syncBinlog != 1 {
		fault(FaultDurability, fmt.Sprintf("sync_binlog is %d: a crash loses commits", syncBinlog), "set it to 1")
	}
	if binlog && format == "STATEMENT" {
		fault(FaultBinlog, "binlog_format is STATEMENT: the server refuses writes of read-committed transactions", "set it to ROW")
	}
	if readOnly {
		fault(FaultReadOnly, "read_only is on: events stay in Kafka and Redis, and no sale can be changed", "set it off, or give the address of the primary")
	}
	if packet < PacketMin {
		fault("packet", fmt.Sprintf("max_allowed_packet is %d: batches are taken apart, and what does not fit alone stops its worker", packet),
			fmt.Sprintf("set it to %d or more", PacketMin))
	}
	return faults, nil
}

// Durability returns an error if the server may lose commits.
func Durability(faults []telemetry.Fault) error {
	var all []error
	for _, f := range faults {
		if f.Word == FaultDurability {
			all = append(all, errors.New(f.String()))
		}
	}
	return errors.Join(all...)
}
