package command

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/alecthomas/kong"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/evidence"
	"sluice/core/ledger"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/persister"
)

// Listing is which part of a list a command shows, and how.
type Listing struct {
	Output `embed:""`

	Limit  int    `default:"50" placeholder:"N" between:"1-500" help:"How many to show at most, 1 to 500."`
	Cursor string `placeholder:"TEXT" help:"Show the page after the one that printed this cursor. Give the same filters."`
}

func (l *Listing) page() ledger.Page { return ledger.Page{Limit: l.Limit, Cursor: l.Cursor} }

// Books are the settings of a command that needs MySQL alone.
type Books struct {
	MySQL db.Config `embed:""`
	Dev   DevFile   `embed:""`
}

// Validate joins all faults.
func (b *Books) Validate() error { return b.MySQL.Validate() }

// BeforeApply is called by kong.
func (b *Books) BeforeApply(k *kong.Context, c *Console) error {
	found, err := b.Dev.fill(k, b.MySQL.DSN != "", func(d *DevStack) {
		c.Notef("using the development stack of %s", d.path)
		b.MySQL.DSN = config.Secret(d.MySQLDSN)
	})
	if err == nil && !found {
		c.Notef("no address is given, and no development stack runs here")
	}
	return err
}

// read connects to MySQL alone, and does what is to be done there.
func (b *Books) read(ctx context.Context, do func(*ledger.Reader) error) error {
	return readBooks(ctx, b.MySQL, func(context.Context, *sql.DB) (int64, int64) { return 0, 0 }, do)
}

// read connects to MySQL, and does what is to be done there. Redis is only asked how far MySQL is.
func (s *Stores) read(ctx context.Context, c *Console, do func(*ledger.Reader) error) error {
	return readBooks(ctx, s.MySQL, func(ctx context.Context, db *sql.DB) (untilMS, nowMS int64) {
		untilMS, nowMS, err := s.persisted(ctx, db)
		if err != nil {
			c.Notef("Redis cannot be asked how far MySQL is: %v", err)
		}
		return untilMS, nowMS
	}, do)
}

func (s *Stores) persisted(ctx context.Context, db *sql.DB) (untilMS, nowMS int64, err error) {
	redis, err := s.openRedis(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer redis.Close()
	var shut []int
	if err = redis.Stock.Adopt(ctx, evidence.NewNonces(db)); err == nil {
		shut, err = redis.Stock.Shut(ctx)
	}
	if err != nil {
		return 0, 0, err
	}
	if len(shut) > 0 {
		return 0, 0, stock.ErrShut // and may have lost what it would tell
	}
	return redis.Stock.Persisted(ctx)
}

func readBooks(ctx context.Context, mysql db.Config, persisted func(context.Context, *sql.DB) (untilMS, nowMS int64), do func(*ledger.Reader) error) error {
	db, err := mysql.Open(ctx)
	if err != nil {
		return err
	}
	err = persister.Schema().Check(ctx, db)
	if err == nil {
		err = do(ledger.New(db, func(ctx context.Context) (untilMS, nowMS int64) { return persisted(ctx, db) }))
	}
	return errors.Join(bookError(err), closeBooks(db))
}

func closeBooks(db *sql.DB) error {
	if err := db.Close(); err != nil {
		return fmt.Errorf("close mysql: %w", err)
	}
	return nil
}

// bookError gives an error its exit code.
func bookError(err error) error {
	switch {
	case errors.Is(err, ledger.ErrCursor), errors.Is(err, ledger.ErrFilter), errors.Is(err, ledger.ErrLetterID):
		return usage(err)
	case errors.Is(err, ledger.ErrNoLetter):
		return notFound(err)
	case errors.Is(err, ledger.ErrNeverReplay):
		return refused(err)
	}
	return err
}

// showList shows a page: as JSON, or as a table with a row for each item. what names the items.
func showList[T any](c *Console, l *Listing, list ledger.List[T], what string, header []any, row func(*T) []any) error {
	if l.json() {
		return c.JSON(list)
	}
	if len(list.Data) == 0 {
		c.Printf("no %s\n", what)
	} else {
		t := c.table()
		t.row(header...)
		for i := range list.Data {
			t.row(row(&list.Data[i])...)
		}
		t.flush()
	}
	if list.Behind {
		c.Notef("as of %s: what happened since then may be missing", momentText(list.AsOf))
	}
	if list.Next != "" {
		c.Notef("the list goes on: repeat with --cursor %s", list.Next)
	}
	return nil
}

func momentText(m show.Moment) string {
	if m == 0 {
		return "-"
	}
	return timeText(int64(m))
}

// idText is an id, or a dash for none.
func idText(id show.ID) string {
	if id == 0 {
		return "-"
	}
	return fmt.Sprint(int64(id))
}
