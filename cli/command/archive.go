package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"sluice/core/archive"
	"sluice/core/config"
	"sluice/core/text"
	"sluice/persister"
)

// ArchiveRun moves old rows out of MySQL.
type ArchiveRun struct {
	Books   `embed:""`
	Output  `embed:""`
	Consent `embed:""`

	Stock     config.Agreed `embed:""`
	Dir       string        `name:"dir" placeholder:"PATH" help:"Directory for the files: one that is backed up."`
	OlderThan time.Duration `name:"older-than" default:"720h" placeholder:"DURATION" help:"Rows that are younger stay. At least a day more than the retention."`
	Share     float64       `name:"share" default:"0.1" placeholder:"PART" help:"Share of the time in which MySQL works for this. The command rests otherwise."`
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
	return `Moves old events of the ledger, the rows of reservations that ended with them, and old repairs out of MySQL into files. It writes
each file, reads it back, and only then deletes what is in it. It can be stopped at any time; the next run goes on. Open
reservations and returns stay, and so does all of a SKU with a dead letter or a difference that nobody has put right.

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
	Repairs      int64     `json:"repairs"`
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
			return usage(fmt.Errorf("--dir: %w", text.OfFile(err)))
		}
	}
	db, err := a.MySQL.Open(ctx)
	if err != nil {
		return err
	}
	before := time.Now().Add(-a.OlderThan).UTC().Truncate(time.Millisecond) // rows before it are old, by this machine's clock
	err = persister.Schema().Check(ctx, db)
	if err == nil && !a.DryRun {
		err = a.ask(ctx, c, fmt.Sprintf("Move what happened before %s to %s, and delete it from MySQL?", before.Format(time.RFC3339), a.Dir), "archive")
	}
	var done archive.Done
	if err == nil {
		shown, doing := time.Now(), "archiving"
		if a.DryRun {
			doing = "counting"
		}
		done, err = archive.Run(ctx, archive.Config{
			DB: db, Dir: a.Dir, Deployment: a.Stock.Deployment, Before: before, Share: a.Share, DryRun: a.DryRun, Log: log,
			Progress: func(d archive.Done) {
				if now := time.Now(); now.Sub(shown) >= c.tellEvery() {
					shown = now
					c.Notef("%s: %s events of %s cells in %d files; %s cells looked at", doing, number(d.Events), number(d.Cells), len(d.Files), number(d.Seen))
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
	report := archiveReport{a.DryRun, before, done.Cells, done.Events, done.Reservations, done.Repairs, done.Files, done.Skipped, done.Faults}
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
	c.Printf("%s events of %s cells, %s reservations and %s repairs from before %s %s the tables\n", number(r.Events), number(r.Cells),
		number(r.Reservations), number(r.Repairs), r.Before.Format(time.RFC3339), would)
	for _, name := range r.Files {
		c.Printf("%s\n", name)
	}
	for _, fault := range r.Faults {
		c.Notef("%s", fault)
	}
}
