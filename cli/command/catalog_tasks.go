package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/alecthomas/kong"

	"sluice/catalog"
	"sluice/catalog/account/audit"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/ledger"
	"sluice/core/place"
)

// ShopBooks are the settings of a command that needs the databases of the shop alone.
type ShopBooks struct {
	MySQL  place.MySQL  `embed:""`
	Places place.Config `embed:""`
	Dev    DevFile      `embed:""`

	devDir string // directory of the development stack, if it is that
}

// Validate joins all faults.
func (b *ShopBooks) Validate() error { return b.Places.Check(db.Config(b.MySQL)) }

// BeforeApply is called by kong.
func (b *ShopBooks) BeforeApply(k *kong.Context, c *Console) error {
	found, err := b.Dev.fill(k, b.MySQL.DSN != "", func(d *DevStack) {
		c.Notef("using the development stack of %s", d.path)
		b.MySQL.DSN, b.devDir = config.Secret(d.MySQLDSN), filepath.Dir(d.path)
	})
	if err == nil && !found {
		c.Notef("no address is given, and no development stack runs here")
	}
	return err
}

// open opens the databases, and does what is to be done there.
func (b *ShopBooks) open(ctx context.Context, do func(*place.Databases) error) error {
	databases, err := b.Places.Open(place.Options{MySQL: db.Config(b.MySQL), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err = databases.Check(ctx, catalog.Schemas()); err == nil {
		err = do(databases)
	}
	switch {
	case errors.Is(err, catalog.ErrTaskID):
		err = usage(err)
	case errors.Is(err, catalog.ErrNoTask):
		err = notFound(err)
	}
	return errors.Join(err, databases.Close())
}

// CatalogTaskList lists dead tasks.
type CatalogTaskList struct {
	ShopBooks `embed:""`
	Listing   `embed:""`
}

// Help is called by kong.
func (CatalogTaskList) Help() string {
	return `Lists the dead tasks of the shop: work that follows from what was committed, and failed too often. Each waits until somebody
repeats or drops it.

Examples:
  sluice catalog tasks list
  sluice catalog tasks list -o json --limit 500`
}

// Run is called by kong.
func (l *CatalogTaskList) Run(ctx context.Context, c *Console) error {
	var after catalog.TaskID
	if l.Cursor != "" {
		var err error
		if after, err = catalog.ParseTaskID(l.Cursor); err != nil {
			return usage(err)
		}
	}
	return l.open(ctx, func(databases *place.Databases) error {
		dead, err := catalog.DeadTasks(ctx, databases, after, l.Limit)
		if err != nil {
			return err
		}
		list := ledger.List[catalog.DeadTask]{Data: dead}
		if len(dead) == l.Limit {
			list.Next = dead[l.Limit-1].TaskID.String()
		}
		header := []any{"TASK", "KIND", "NAME", "SINCE", "ATTEMPTS", "LAST ERROR"}
		return showList(c, &l.Listing, list, "dead task", header, func(d *catalog.DeadTask) []any {
			return []any{d.TaskID, d.Kind, d.Name, timeText(d.MadeAt.UnixMilli()), d.Attempts, d.Error}
		})
	})
}

// taskDecision has the flags of all commands that decide about a dead task.
type taskDecision struct {
	ShopBooks `embed:""`
	Output    `embed:""`
	Consent   `embed:""`

	ID     string `arg:"" name:"id" help:"Id of the task, as the list shows it."`
	Reason string `required:"" placeholder:"TEXT" help:"Why. It is kept in the audit log."`
	By     string `placeholder:"NAME" help:"Who decides. Defaults to the name of the user who runs this."`
}

// Validate joins all faults.
func (d *taskDecision) Validate() error {
	var f config.Faults
	f.Include(d.ShopBooks.Validate())
	checkReason(&f, d.Reason)
	if by := decider(d.By); !audit.IsName("operator:" + by) {
		f.Add("by", fmt.Sprintf("%.80q", by), "a name of 1 to 59 visible ASCII characters")
	}
	return f.Err()
}

// decidedTask is the result of a decision.
type decidedTask struct {
	Result  string           `json:"result"` // ok or dry_run
	Changed bool             `json:"changed"`
	Task    catalog.DeadTask `json:"task"`
}

// decide asks, and carries the decision out. what says what that does.
func (d *taskDecision) decide(ctx context.Context, c *Console, what, done string, do func(context.Context, *place.Databases, catalog.TaskID, catalog.TaskDecision) error) error {
	id, err := catalog.ParseTaskID(d.ID)
	if err != nil {
		return usage(err)
	}
	if err := d.check(c); err != nil {
		return err
	}
	return d.open(ctx, func(databases *place.Databases) error {
		dead, err := catalog.FindDeadTask(ctx, databases, id)
		if err != nil {
			return err
		}
		show := func(result, said string) error {
			if d.json() {
				return c.JSON(decidedTask{result, result == "ok", dead})
			}
			c.Printf("task %s: %s\n", dead.TaskID, said)
			return nil
		}
		if d.DryRun {
			return show("dry_run", "it "+what+" (dry run: nothing was changed)")
		}
		question := fmt.Sprintf("Task %s, %s %s, failed %d times, at last with %q: it %s", dead.TaskID, dead.Kind, dead.Name, dead.Attempts, dead.Error, what)
		if err := d.ask(ctx, c, question, d.ID); err != nil {
			return err
		}
		if err := do(ctx, databases, id, catalog.TaskDecision{By: decider(d.By), Why: d.Reason}); err != nil {
			return err
		}
		return show("ok", done)
	})
}

// CatalogTaskRepeat makes a dead task wait again.
type CatalogTaskRepeat struct {
	taskDecision `embed:""`
}

// Help is called by kong.
func (CatalogTaskRepeat) Help() string {
	return `Makes a dead task wait again, with all its attempts. Do so when its cause is gone. It does no harm if the task had its effect
after all: each attempt has the same key.

Examples:
  sluice catalog tasks repeat account/shop/17 --reason 'its cause is gone' --dry-run
  sluice catalog tasks repeat account/shop/17 --reason 'its cause is gone' --yes`
}

// Run is called by kong.
func (r *CatalogTaskRepeat) Run(ctx context.Context, c *Console) error {
	return r.decide(ctx, c, "would be tried again", "it is tried again", catalog.RepeatTask)
}

// CatalogTaskDrop deletes a dead task.
type CatalogTaskDrop struct {
	taskDecision `embed:""`
}

// Help is called by kong.
func (CatalogTaskDrop) Help() string {
	return `Deletes a dead task. Its work is never done then: do it by hand, or be sure that nobody needs it any more.

Examples:
  sluice catalog tasks drop account/shop/17 --reason 'done by hand' --dry-run
  sluice catalog tasks drop account/shop/17 --reason 'done by hand' --yes`
}

// Run is called by kong.
func (d *CatalogTaskDrop) Run(ctx context.Context, c *Console) error {
	return d.decide(ctx, c, "would be deleted, and its work never done", "it is deleted", catalog.DropTask)
}
