package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"sluice/core/db"
)

// migrationPacket is enough for each statement of the migrations.
const migrationPacket = 16 << 10

// dropProbe removes the tables that probe makes, or has left when it was killed.
const dropProbe = "DROP TABLE IF EXISTS sluice_migrate_probe_items, sluice_migrate_probe"

// checkServer fails if a setting of the server, or a missing right of the user, would stop migrations halfway. DDL
// commits by itself, so the steps before would stay.
func checkServer(ctx context.Context, database *sql.DB) error {
	err := checkSettings(ctx, database)
	if err == nil {
		err = probe(ctx, database)
	}
	if err != nil {
		return fmt.Errorf("migrate: nothing was changed: %w", err)
	}
	return nil
}

func checkSettings(ctx context.Context, database *sql.DB) error {
	faults, err := db.Faults(ctx, database)
	if err != nil {
		return err
	}
	for _, f := range faults {
		if f.Word == db.FaultReadOnly || f.Word == db.FaultBinlog {
			return errors.New(f.String())
		}
	}
	var packet int64
	if err := database.QueryRowContext(ctx, "SELECT @@global.max_allowed_packet").Scan(&packet); err != nil {
		return fmt.Errorf("read server settings: %w", err)
	}
	if packet < migrationPacket {
		return fmt.Errorf("max_allowed_packet is %d, and migrations need %d: set it to %d or more", packet, migrationPacket, db.PacketMin)
	}
	// Only MariaDB has it. SHOW is no error if a variable does not exist.
	var name, engine string
	err = database.QueryRowContext(ctx, "SHOW GLOBAL VARIABLES LIKE 'enforce_storage_engine'").Scan(&name, &engine)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read server settings: %w", err)
	}
	if engine != "" && engine != "InnoDB" {
		return fmt.Errorf("enforce_storage_engine is %s, and all tables need InnoDB: set it to InnoDB, or take it away", engine)
	}
	return nil
}

// probe does to tables of its own everything that migrations do to the tables of owners, and checks that constraints
// hold.
func probe(ctx context.Context, database *sql.DB) (err error) {
	if _, err := database.ExecContext(ctx, dropProbe); err != nil {
		return fmt.Errorf("try what migrations do: %w", err)
	}
	defer func() {
		if _, dropErr := database.ExecContext(context.WithoutCancel(ctx), dropProbe); dropErr != nil {
			err = errors.Join(err, fmt.Errorf("remove the tables that were tried: %w", dropErr))
		}
	}()
	for _, statement := range []string{
		"CREATE TABLE sluice_migrate_probe (id BIGINT NOT NULL, PRIMARY KEY (id), CHECK (id > 0)) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4",
		"ALTER TABLE sluice_migrate_probe ADD COLUMN word VARCHAR(10) NULL, ADD KEY sluice_migrate_probe_word (word)",
		"CREATE TABLE sluice_migrate_probe_items (id BIGINT NOT NULL, PRIMARY KEY (id), FOREIGN KEY (id) REFERENCES sluice_migrate_probe (id)) ENGINE = InnoDB",
		"INSERT INTO sluice_migrate_probe (id) VALUES (1), (2)",
		"UPDATE sluice_migrate_probe JOIN (SELECT MAX(id) AS id FROM sluice_migrate_probe) AS newest USING (id) SET word = 'new'",
		"DELETE FROM sluice_migrate_probe WHERE id = 2",
	} {
		if _, err := database.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("try what migrations do: %w", err)
		}
	}
	for _, wrong := range []string{
		"INSERT INTO sluice_migrate_probe (id) VALUES (-1)",
		"INSERT INTO sluice_migrate_probe_items (id) VALUES (3)",
	} {
		if _, err := database.ExecContext(ctx, wrong); err == nil {
			return errors.New("the server does not hold CHECK constraints or foreign keys: use MySQL 8.0.16 or MariaDB 10.11, or newer")
		}
	}
	return nil
}
