package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/archive"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/evidence"
	"sluice/core/ledger"
	"sluice/core/text"
	"sluice/persister"
)

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
	known, unknown := evidence.NewNonces(books).Identity(ctx)
	if unknown != nil {
		c.Notef("MySQL does not tell of which database the files must be, so that is not checked: %s", Explain(unknown))
	}
	return known.ID, closeBooks(books)
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

	Files []string `arg:"" optional:"" name:"file" help:"Files of the archive."`
	Dir   string   `name:"dir" placeholder:"PATH" help:"Check every file that has ever left this MySQL: all must be in this directory."`
}

// Validate joins all faults.
func (a *ArchiveVerify) Validate() error {
	var f config.Faults
	f.Include(a.Origin.Validate())
	if (len(a.Files) == 0) == (a.Dir == "") {
		f.Add("dir", fmt.Sprintf("%.100q", a.Dir), "files to check, or --dir with all of them")
	}
	return f.Err()
}

// Help is called by kong.
func (ArchiveVerify) Help() string {
	return `Reads files of the archive whole: their checksums and counts, and that the events of each SKU follow from each
other. Files of another deployment (--deployment) are refused. If MySQL is given, files of another database are refused too.

With --dir, the files are those that MySQL knows. Each must be there as it was written. What comes of it is written down, and
persisters show it in their metrics: the account needs the role archive of sluice grants.

Examples:
  sluice archive verify /var/lib/sluice/archive/*.sluice.gz
  sluice archive verify --dir /var/lib/sluice/archive`
}

// Run is called by kong.
func (a *ArchiveVerify) Run(ctx context.Context, c *Console) error {
	if a.Dir != "" {
		return a.all(ctx, c)
	}
	ledger, err := a.ledger(ctx, c)
	if err != nil {
		return err
	}
	bad := 0
	for _, path := range a.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if a.one(c, path, ledger, nil) != nil {
			bad++
		}
	}
	return verified(bad, len(a.Files))
}

// one checks a file, and that it has a checksum if one is known.
func (a *ArchiveVerify) one(c *Console, path, ledger string, sum *[32]byte) error {
	checked, err := archive.Check(path, nil)
	if err == nil {
		err = a.refuse(&checked.Header, ledger)
	}
	if err == nil && sum != nil && checked.SHA256 != *sum {
		err = fmt.Errorf("%w: its SHA-256 is %x, and MySQL has %x", archive.ErrFile, checked.SHA256[:], sum[:])
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.Notef("archive file %v", text.OfFile(err))
		return err
	case err != nil:
		c.Notef("%s: %v", path, err)
		return err
	}
	h := &checked.Header
	c.Printf("%s: whole: %s events of %s cells and %s repairs, SHA-256 %x\n", path, number(h.Events), number(h.Cells), number(h.Repairs), checked.SHA256[:])
	return nil
}

// all checks all files that MySQL knows, and records the result.
func (a *ArchiveVerify) all(ctx context.Context, c *Console) (err error) {
	if !a.MySQL.given() {
		return usage(errors.New("--dir: MySQL knows which files there are: give it (--mysql-dsn-file)"))
	}
	mysql, err := db.Config(a.MySQL).Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBooks(mysql)) }()
	if err := persister.Schema().Check(ctx, mysql); err != nil {
		return err
	}
	identity, err := evidence.NewNonces(mysql).Identity(ctx)
	if err != nil {
		return err
	}
	runs := archive.NewRuns(mysql)
	run, err := runs.Begin(ctx, archive.ActVerify)
	if err != nil {
		return err
	}
	got := archive.Result{Outcome: archive.OutcomeDone}
	err = ledger.New(mysql, nil).ArchiveFiles(ctx, func(f *ledger.ArchiveFile) error {
		got.Files++
		if bad := a.one(c, filepath.Join(a.Dir, f.Name), identity.ID, &f.SHA256); bad != nil {
			got.BadFiles++
			if got.Said == "" {
				got.Said = f.Name + ": " + bad.Error()
			}
		}
		return ctx.Err()
	})
	if err != nil {
		got.Said = err.Error()
	} else if got.Files == 0 {
		c.Printf("nothing to check: no file has left this MySQL yet\n")
	}
	if err != nil || got.BadFiles > 0 {
		got.Outcome = archive.OutcomeFailed
	}
	return errors.Join(err, runs.End(ctx, run, got), verified(int(got.BadFiles), int(got.Files)))
}

func verified(bad, all int) error {
	if bad > 0 {
		return inPart(fmt.Errorf("%d of %d files are missing, or not whole files of this deployment and database", bad, all))
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
	return `Shows the events in a file of the archive, SKU by SKU, or the repairs. A file of another deployment (--deployment) is refused. If MySQL
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
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return notFound(fmt.Errorf("archive file %w", text.OfFile(err)))
	case err != nil:
		return fmt.Errorf("%s: %w", a.File, err)
	}
	if a.json() {
		return c.JSON(struct {
			Header  archive.Header   `json:"header"`
			Events  []archivedEvent  `json:"events"`
			Repairs []jsontext.Value `json:"repairs,omitempty"`
		}{checked.Header, shown, checked.Repairs})
	}
	h := &checked.Header
	c.Printf("file %d of ledger %s, made %s: %s events of %s cells and %s repairs, all from before %s\n\n", h.File, h.Ledger, h.MadeAt.Format(time.RFC3339),
		number(h.Events), number(h.Cells), number(h.Repairs), h.Before.Format(time.RFC3339))
	for _, r := range checked.Repairs {
		c.Printf("%s\n", r)
	}
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
