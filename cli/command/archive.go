package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"sluice/core/archive"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/evidence"
	"sluice/core/ledger"
	"sluice/persister"
)

// ArchiveRun moves old rows out of MySQL.
type ArchiveRun struct {
	Books   `embed:""`
	Output  `embed:""`
	Consent `embed:""`

	Stock     config.Agreed `embed:""`
	Dir       string        `name:"dir" placeholder:"PATH" help:"Directory for the files: one that is backed up."`
	OlderThan time.Duration `name:"older-than" default:"720h" placeholder:"DURATION" help:"What is younger stays. At least a day more than the retention."`
	Share     float64       `name:"share" default:"0.5" placeholder:"PART" help:"Part of the time in which MySQL works for this; the rest is rest."`
}

// Validate joins all faults.
func (a *ArchiveRun) Validate() error {
	var f config.Faults
	f.Include(a.Books.Validate())
	f.Include(a.Stock.Validate())
	if a.Dir == "" && !a.DryRun {
		f.Add("dir", `""`, "a directory, or --dry-run")
	}
	config.Between(&f, "older-than", a.OlderThan, a.Stock.Retention+archive.AgeMargin, 100*365*24*time.Hour)
	config.Between(&f, "share", a.Share, 0.01, 1)
	return f.Err()
}

// Help is called by kong.
func (ArchiveRun) Help() string {
	return `Moves old events of the ledger, and the rows of reservations that ended with them, out of MySQL into files. It writes
each file, reads it back, and only then deletes what is in it. It can be stopped at any time; the next run goes on. Open
reservations stay, and so does all of a SKU with a dead letter or a difference that nobody has put right.

The account needs the role archive of sluice grants.

Examples:
  sluice archive --dry-run --older-than 2160h
  sluice archive --dir /var/lib/sluice/archive --older-than 2160h --yes
  sluice archive verify /var/lib/sluice/archive/*.sluice.gz`
}

type archiveReport struct {
	DryRun       bool      `json:"dry_run"`
	Before       time.Time `json:"before"`
	Cells        int64     `json:"cells"`
	Events       int64     `json:"events"`
	Reservations int64     `json:"reservations"`
	Files        []string  `json:"files"`
	Skipped      int64     `json:"skipped_cells"`
	Faults       []string  `json:"faults"`
}

// Run is called by kong.
func (a *ArchiveRun) Run(ctx context.Context, c *Console, log *slog.Logger) error {
	if err := a.check(c); err != nil {
		return err
	}
	if !a.DryRun {
		info, err := os.Stat(a.Dir)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no directory", a.Dir)
		}
		if err != nil {
			return usage(fmt.Errorf("--dir: %w", err))
		}
	}
	db, err := a.MySQL.Open(ctx)
	if err != nil {
		return err
	}
	before := time.Now().Add(-a.OlderThan).UTC().Truncate(time.Millisecond) // rows before it are old, by this machine's clock
	err = persister.Schema().Check(ctx, db)
	if err == nil && !a.DryRun {
		err = a.ask(c, fmt.Sprintf("Move what happened before %s to %s, and delete it from MySQL?", before.Format(time.RFC3339), a.Dir), "archive")
	}
	var done archive.Done
	if err == nil {
		shown := time.Now()
		done, err = archive.Run(ctx, archive.Config{
			DB: db, Dir: a.Dir, Deployment: a.Stock.Deployment, Before: before, Share: a.Share, DryRun: a.DryRun, Log: log,
			Progress: func(d archive.Done) {
				if now := time.Now(); now.Sub(shown) >= lineEvery {
					shown = now
					c.Notef("archiving: %s events of %s cells in %d files", number(d.Events), number(d.Cells), len(d.Files))
				}
			},
		})
	}
	if err := errors.Join(err, closeBooks(db)); err != nil {
		if done.Events > 0 {
			c.Notef("%s events are in %d files; the next run goes on", number(done.Events), len(done.Files))
		}
		return err
	}
	report := archiveReport{a.DryRun, before, done.Cells, done.Events, done.Reservations, done.Files, done.Skipped, done.Faults}
	if a.json() {
		err = c.JSON(report)
	} else {
		report.print(c)
	}
	if err == nil && done.Skipped > 0 {
		err = inPart(fmt.Errorf("left as they are: %d cells", done.Skipped))
	}
	return err
}

func (r *archiveReport) print(c *Console) {
	would := "left"
	if r.DryRun {
		would = "would leave"
	}
	c.Printf("%s events of %s cells and %s reservations from before %s %s the tables\n", number(r.Events), number(r.Cells),
		number(r.Reservations), r.Before.Format(time.RFC3339), would)
	for _, name := range r.Files {
		c.Printf("%s\n", name)
	}
	for _, fault := range r.Faults {
		c.Notef("%s", fault)
	}
}

// maybeMySQL has the settings of MySQL for a command that can work without it. Kong does not check them by itself.
type maybeMySQL db.Config

// Texts are those of the group.
func (m maybeMySQL) Texts() config.Texts { return db.Config(m).Texts() }

func (m maybeMySQL) given() bool { return m.DSN != "" || m.DSNFile != "" }

// Origin says where the files of an archive must come from: from this deployment, and from this database if one is
// given.
type Origin struct {
	MySQL maybeMySQL    `embed:""`
	Stock config.Agreed `embed:""`
	Dev   DevFile       `embed:""`
}

// Validate joins all faults.
func (o *Origin) Validate() error {
	var f config.Faults
	f.Include(db.Config(o.MySQL).ValidateOptional())
	f.Include(o.Stock.Validate())
	return f.Err()
}

// BeforeApply is called by kong.
func (o *Origin) BeforeApply(k *kong.Context, c *Console) error {
	_, err := o.Dev.fill(k, o.MySQL.DSN != "", func(d *DevStack) {
		c.Notef("using the development stack of %s", d.path)
		o.MySQL.DSN = config.Secret(d.MySQLDSN)
	})
	return err
}

// ledger returns the identity of the database; empty if nobody can tell it.
func (o *Origin) ledger(ctx context.Context, c *Console) (identity string, err error) {
	if !o.MySQL.given() {
		return "", nil
	}
	books, err := db.Config(o.MySQL).OpenUnchecked()
	if err != nil {
		return "", err
	}
	identity, unknown := evidence.NewNonces(books).Identity(ctx)
	if unknown != nil {
		c.Notef("MySQL does not tell of which database the files must be, so that is not checked: %s", Explain(unknown))
	}
	return identity, closeBooks(books)
}

// refuse refuses a file of another deployment or database.
func (o *Origin) refuse(h *archive.Header, ledger string) error {
	if h.Deployment != o.Stock.Deployment {
		return fmt.Errorf("it is of deployment %.100q, and this is %q (--deployment)", h.Deployment, o.Stock.Deployment)
	}
	if ledger != "" && h.Ledger != ledger {
		return fmt.Errorf("it is of the database %.100q, and MySQL is %q (--mysql-dsn-file)", h.Ledger, ledger)
	}
	return nil
}

// ArchiveVerify checks files.
type ArchiveVerify struct {
	Origin `embed:""`

	Files []string `arg:"" name:"file" help:"Files of the archive."`
}

// Help is called by kong.
func (ArchiveVerify) Help() string {
	return `Reads files of the archive whole: their checksums and counts, and that the events of each SKU follow from each
other. Files of another deployment (--deployment) are refused. If MySQL is given, files of another database are refused too.

Example:
  sluice archive verify /var/lib/sluice/archive/*.sluice.gz`
}

// Run is called by kong.
func (a *ArchiveVerify) Run(ctx context.Context, c *Console) error {
	ledger, err := a.ledger(ctx, c)
	if err != nil {
		return err
	}
	bad := 0
	for _, path := range a.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		checked, err := archive.Check(path, nil)
		if err == nil {
			err = a.refuse(&checked.Header, ledger)
		}
		if err != nil {
			bad++
			c.Notef("%s: %v", path, err)
			continue
		}
		c.Printf("%s: whole: %s events of %s cells, SHA-256 %x\n", path, number(checked.Header.Events), number(checked.Header.Cells), checked.SHA256[:])
	}
	if bad > 0 {
		return inPart(fmt.Errorf("%d of %d files are not whole files of this deployment and database", bad, len(a.Files)))
	}
	return nil
}

// ArchiveShow shows the events of a file.
type ArchiveShow struct {
	Origin `embed:""`
	Output `embed:""`

	File string `arg:"" help:"File of the archive."`
	SKU  int64  `placeholder:"ID" between:"1-9223372036854775807" help:"Only the events of a SKU."`
	ID   string `name:"reservation" placeholder:"ID" help:"Only the events of a reservation."`
}

// Help is called by kong.
func (ArchiveShow) Help() string {
	return `Shows the events in a file of the archive, SKU by SKU. A file of another deployment (--deployment) is refused. If MySQL
is given, a file of another database is refused too.

Examples:
  sluice archive show sluice-000000012-9f2c41aa.sluice.gz --sku 1001
  sluice archive show sluice-000000012-9f2c41aa.sluice.gz --reservation 002a7c0e0d8f1b3c5d7e9f10213243a5 -o json`
}

type archivedEvent struct {
	SKU         int64  `json:"sku_id,string"`
	Sale        uint32 `json:"sale_id,string,omitzero"`
	Bucket      uint16 `json:"bucket,omitzero"`
	Reservation string `json:"reservation_id"`
	User        int64  `json:"user_id,string"`
	Quantity    int64  `json:"quantity"`
	ledger.Event
}

// Run is called by kong.
func (a *ArchiveShow) Run(ctx context.Context, c *Console) error {
	ledgerID, err := a.ledger(ctx, c)
	if err != nil {
		return err
	}
	shown := []archivedEvent{}
	checked, err := archive.Check(a.File, func(s *archive.Section, events []ledger.Recorded) error {
		if a.SKU != 0 && s.SKU != a.SKU {
			return nil
		}
		for i := range events {
			e := &events[i]
			if a.ID != "" && e.Reservation.String() != a.ID {
				continue
			}
			x := archivedEvent{
				SKU: s.SKU, Sale: s.Sale, Bucket: s.Bucket, Reservation: e.Reservation.String(), User: e.User, Quantity: e.Quantity,
				Event: ledger.Event{Kind: e.Kind.String(), Epoch: e.Epoch, Seq: e.Seq, RedisMS: e.TimeMS, Avail: e.Avail, Held: e.Held, Sold: e.Sold, Reason: e.Change.Reason},
			}
			if e.Kind.Adjusts() {
				x.Delta = &e.Change.Delta
			}
			shown = append(shown, x)
		}
		return nil
	})
	if err == nil {
		err = a.refuse(&checked.Header, ledgerID)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", a.File, err)
	}
	if a.json() {
		return c.JSON(struct {
			Header archive.Header  `json:"header"`
			Events []archivedEvent `json:"events"`
		}{checked.Header, shown})
	}
	h := &checked.Header
	c.Printf("file %d of ledger %s, made %s: %s events of %s cells, all from before %s\n\n", h.File, h.Ledger, h.MadeAt.Format(time.RFC3339),
		number(h.Events), number(h.Cells), h.Before.Format(time.RFC3339))
	t := c.table()
	t.row("SKU", "SALE", "EPOCH.SEQ", "TIME", "EVENT", "RESERVATION", "USER", "QUANTITY", "AVAIL", "HELD", "SOLD")
	for i := range shown {
		e := &shown[i]
		t.row(e.SKU, e.Sale, fmt.Sprintf("%d.%d", e.Epoch, e.Seq), timeText(e.RedisMS), e.Kind, e.Reservation, e.User, number(e.Quantity),
			number(e.Avail), number(e.Held), number(e.Sold))
	}
	t.flush()
	return nil
}
