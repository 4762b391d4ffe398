package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"sluice/catalog/account/audit"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/place"
	"sluice/core/text"
)

// AuditLog says where the audit log is.
type AuditLog struct {
	MySQL  maybeMySQL   `embed:""`
	Shards place.Config `embed:""`
	Key    TokenKey     `embed:""`
	Dev    DevFile      `embed:""`
}

// Validate joins all faults.
func (a *AuditLog) Validate() error {
	var f config.Faults
	if a.given() {
		f.Include(a.Shards.Check(db.Config(a.MySQL)))
	} else {
		f.Include(db.Config(a.MySQL).ValidateOptional())
	}
	f.Include(a.Key.Check())
	return f.Err()
}

func (a *AuditLog) given() bool { return a.MySQL.given() || a.Shards.File != "" }

// BeforeApply is called by kong.
func (a *AuditLog) BeforeApply(k *kong.Context, c *Console) error {
	_, err := a.Dev.fill(k, a.given(), func(d *DevStack) {
		c.Notef("using the development stack of %s", d.path)
		a.MySQL.DSN, a.Key.File = config.Secret(d.MySQLDSN), d.TokenKeyFile
	})
	return err
}

// read opens all databases, and does what is to be done there.
func (a *AuditLog) read(ctx context.Context, log *slog.Logger, do func(*audit.Reader) error) error {
	if !a.given() {
		return usage(errors.New("no database is given (--mysql-dsn-file, SLUICE_MYSQL_DSN or --shards-file), and no development stack runs here"))
	}
	databases, err := a.Shards.Open(place.Options{MySQL: db.Config(a.MySQL), Log: log})
	if err != nil {
		return err
	}
	if err = databases.Check(ctx, place.Owners{audit.Schema()}); err != nil {
		err = fmt.Errorf("%w (of the shop: sluice catalog migrate)", err)
	} else {
		err = do(audit.NewReader(databases))
	}
	return errors.Join(err, databases.Close())
}

// keys are those of the file, or none.
func (a *AuditLog) keys() (*auth.Keys, error) {
	if a.Key.File == "" {
		return nil, nil
	}
	return a.Key.read()
}

// AuditVerify checks the chains of the audit log.
type AuditVerify struct {
	AuditLog `embed:""`
	Output   `embed:""`

	Checkpoints []string `name:"checkpoints" placeholder:"PATH" help:"File of checkpoints that the log must contain; may be repeated."`
	Export      string   `name:"export" placeholder:"PATH" help:"Check this export, and no database."`
}

// Help is called by kong.
func (AuditVerify) Help() string {
	return `Follows all chains of the audit log from their first entries, and tells each entry that was changed, inserted or moved, and each
that is missing. Only checkpoints show that the end of a chain was cut off, or that a whole chain was written anew: give the files
that processes of the shop have written (--audit-checkpoint-file), from where nobody could change them since, and the keys that
have signed them (--token-key-file).

Exit codes: 0 the log is whole, 6 it is not, 7 nothing is wrong in what was read, and some checkpoints could not be, or keys are
given and nobody has signed the export.

Examples:
  sluice audit verify --checkpoints /mnt/archive/audit-1.jws
  sluice audit verify --export audit.jsonl --checkpoints /mnt/archive/audit-1.jws --token-key-file keys.json`
}

type auditReport struct {
	Entries     int64           `json:"entries"`
	Chains      int64           `json:"chains"`
	Checkpoints int64           `json:"checkpoints"`
	Signed      *bool           `json:"signed,omitempty"`
	Findings    int64           `json:"findings"`
	First       []audit.Finding `json:"first_findings"`
}

// Run is called by kong.
func (a *AuditVerify) Run(ctx context.Context, c *Console, log *slog.Logger) error {
	keys, err := a.keys()
	if err != nil {
		return usage(err)
	}
	if keys == nil && len(a.Checkpoints) > 0 {
		return usage(errors.New("--checkpoints: the keys that have signed them are missing (--token-key-file)"))
	}
	checker, report := audit.NewChecker(), auditReport{}
	unread := 0
	for _, path := range a.Checkpoints {
		bad, err := marks(c, path, keys, func(h audit.Head) {
			report.Checkpoints++
			checker.Mark(h)
		})
		if err != nil {
			return err
		}
		unread += bad
	}
	shown := time.Now()
	progress := func() {
		if now := time.Now(); now.Sub(shown) >= c.tellEvery() {
			shown = now
			entries, chains, findings := checker.Counts()
			c.Notef("verifying: %s entries of %s chains, %s findings", number(entries), number(chains), number(findings))
		}
	}
	if a.Export != "" {
		var done audit.Exported
		if done, err = verifyExport(ctx, a.Export, keys, checker, progress); err == nil && keys != nil {
			report.Signed = &done.Signed
		}
	} else {
		err = a.read(ctx, log, func(r *audit.Reader) error { return r.Verify(ctx, checker, progress) })
	}
	if err != nil {
		return err
	}
	report.Entries, report.Chains, report.Findings = checker.Counts()
	report.First = append([]audit.Finding{}, checker.Findings()...)
	if err := report.show(c, a.json()); err != nil {
		return err
	}
	if a.Export != "" && keys == nil {
		c.Notef("no keys are given (--token-key-file): the signature of the export was not checked")
	}
	switch {
	case report.Findings > 0:
		return codedError{fmt.Errorf("the audit log is not as it was written: %s findings", number(report.Findings)), ExitDrift}
	case unread > 0:
		return codedError{fmt.Errorf("%d lines of checkpoints could not be read", unread), ExitUnverified}
	case report.Signed != nil && !*report.Signed:
		return codedError{errors.New("nobody has signed the export: it may be one of another log, or its signature was taken off"), ExitUnverified}
	}
	return nil
}

// marks reads a file of checkpoints, and tells how many lines of it are none.
func marks(c *Console, path string, keys *auth.Keys, mark func(audit.Head)) (bad int, err error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return 0, usage(fmt.Errorf("--checkpoints: open %w", text.OfFile(err)))
	}
	defer file.Close()
	bad, why, err := audit.ReadCheckpoints(file, keys, mark)
	if bad > 0 {
		c.Notef("%s: %d lines are not used; the first of them: %v", path, bad, why)
	}
	return bad, err
}

func verifyExport(ctx context.Context, path string, keys *auth.Keys, checker *audit.Checker, progress func()) (audit.Exported, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return audit.Exported{}, usage(fmt.Errorf("--export: open %w", text.OfFile(err)))
	}
	defer file.Close()
	done, err := audit.VerifyExport(ctx, file, keys, checker, progress)
	if errors.Is(err, audit.ErrExport) {
		err = codedError{fmt.Errorf("%s: %w", path, err), ExitDrift}
	}
	return done, err
}

func (r *auditReport) show(c *Console, asJSON bool) error {
	if asJSON {
		return c.JSON(r)
	}
	if len(r.First) > 0 {
		t := c.table()
		t.row("CHAIN", "N", "KIND", "WHAT")
		for _, f := range r.First {
			t.row(f.Chain, f.N, f.Kind, f.Says)
		}
		t.flush()
		c.Printf("\n")
	}
	c.Printf("%s entries of %s chains, compared with %s heads of checkpoints: %s findings\n", number(r.Entries), number(r.Chains), number(r.Checkpoints), number(r.Findings))
	if r.Checkpoints == 0 {
		c.Notef("no checkpoint is given: a chain that was cut off at its end looks whole")
	}
	return nil
}

// AuditSearch finds entries of the audit log.
type AuditSearch struct {
	AuditLog `embed:""`
	Output   `embed:""`

	Actor  string `placeholder:"NAME" help:"Only acts of this actor, such as admin:1, service:7 or operator."`
	Act    string `placeholder:"NAME" help:"Only this act, such as user.make or stock.adjust."`
	Object string `placeholder:"NAME" help:"Only acts on this object, such as user:42 or sku:1001."`
	Since  string `placeholder:"TIME" help:"Only acts from this time on (RFC 3339), or within this duration."`
	Until  string `placeholder:"TIME" help:"Only acts before this time (RFC 3339), or up to this long ago."`
	Limit  int    `default:"50" placeholder:"N" between:"1-500" help:"How many to show at most, 1 to 500."`
	Cursor string `placeholder:"TEXT" help:"Show the page after the one that printed this cursor. Give the same filters."`
}

// Help is called by kong.
func (AuditSearch) Help() string {
	return `Shows acts, the newest first. Personal values are sealed or hidden.

Examples:
  sluice audit search --object user:42
  sluice audit search --actor admin:1 --since 24h -o json`
}

// Validate joins all faults.
func (a *AuditSearch) Validate() error {
	var f config.Faults
	f.Include(a.AuditLog.Validate())
	_, err := a.filter(time.Now())
	f.Include(err)
	return f.Err()
}

func (a *AuditSearch) filter(now time.Time) (audit.Filter, error) {
	f := audit.Filter{Actor: a.Actor, Act: a.Act, Object: a.Object}
	for _, bound := range []struct {
		flag, text string
		at         *time.Time
	}{{"since", a.Since, &f.From}, {"until", a.Until, &f.Until}} {
		if bound.text == "" {
			continue
		}
		at, err := timeOrAgo(bound.text, now)
		if err != nil {
			return f, fmt.Errorf("%s: %w", bound.flag, err)
		}
		*bound.at = at
	}
	return f, nil
}

// Run is called by kong.
func (a *AuditSearch) Run(ctx context.Context, c *Console, log *slog.Logger) error {
	filter, err := a.filter(time.Now())
	if err != nil {
		return usage(err)
	}
	var found []audit.Entry
	var next string
	err = a.read(ctx, log, func(r *audit.Reader) (err error) {
		found, next, err = r.Search(ctx, filter, audit.Page{Limit: a.Limit, After: a.Cursor})
		return err
	})
	switch {
	case errors.Is(err, audit.ErrCursor):
		return usage(fmt.Errorf("--cursor: %w", err))
	case err != nil:
		return err
	}
	if a.json() {
		return c.JSON(struct {
			Data []audit.Entry `json:"data"`
			Next string        `json:"next_cursor,omitempty"`
		}{append([]audit.Entry{}, found...), next})
	}
	if len(found) == 0 {
		c.Printf("no such acts\n")
		return nil
	}
	t := c.table()
	t.row("AT", "ACTOR", "ACT", "OBJECT", "ORIGIN", "WHY", "CHANGES")
	for i := range found {
		e := &found[i]
		t.row(timeText(e.At.UnixMilli()), e.Actor, e.Act, e.Object, e.Origin, e.Why, string(e.Changes))
	}
	t.flush()
	if next != "" {
		c.Notef("the list goes on: repeat with --cursor %s", next)
	}
	return nil
}

// AuditExport writes the audit log to a file.
type AuditExport struct {
	AuditLog `embed:""`

	File string `name:"out" placeholder:"PATH" help:"Write a new file that its owner only can read. Defaults to the standard output."`
}

// Help is called by kong.
func (AuditExport) Help() string {
	return `Writes all entries as JSON lines, chain by chain, and behind them a manifest: how many they are, their SHA-256, and where each
chain ends. With keys (--token-key-file) the manifest is signed. sluice audit verify --export checks such a file, anywhere.

Example:
  sluice audit export --out audit-2026-11.jsonl`
}

// Run is called by kong.
func (a *AuditExport) Run(ctx context.Context, c *Console, log *slog.Logger) error {
	keys, err := a.keys()
	if err != nil {
		return usage(err)
	}
	shown := time.Now()
	var done audit.Manifest
	write := func(to io.Writer) error {
		return a.read(ctx, log, func(r *audit.Reader) (err error) {
			done, err = r.Export(ctx, to, keys, time.Now(), func(entries int64) {
				if now := time.Now(); now.Sub(shown) >= c.tellEvery() {
					shown = now
					c.Notef("exporting: %s entries", number(entries))
				}
			})
			return err
		})
	}
	if a.File == "" {
		return write(c.Out)
	}
	if err := newFile(a.File, write); err != nil {
		return err
	}
	c.Notef("%s has %s entries of %d chains, SHA-256 %s", a.File, number(done.Entries), len(done.Heads), done.SHA256)
	return nil
}
