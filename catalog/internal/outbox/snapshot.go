package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sluice/core/db"
	"sluice/core/place"
	"sluice/core/stock"
)

// Standing is what the last event about something said.
type Standing struct {
	Aggregate string
	Version   uint64
	Type      string
	Data      any
}

// Cursor is where a page of a snapshot over places ends: in a place, behind an aggregate. The zero is the beginning.
type Cursor struct {
	Place int
	After string
}

// placesMax is more than there are: a kind has 1,024 logical shards.
const placesMax = 9999

// ParseCursor reads what String writes, of aggregates that can be. The empty text is the beginning.
func ParseCursor(text string, isAggregate func(string) bool) (c Cursor, err error) {
	if text == "" {
		return c, nil
	}
	number, after, _ := strings.Cut(text, ".")
	c.Place, err = strconv.Atoi(number)
	if c.After = after; err != nil || c.Place < 0 || c.Place > placesMax || c.String() != text || after != "" && !isAggregate(after) {
		return Cursor{}, errors.New("the cursor is not one of this list")
	}
	return c, nil
}

// String is the cursor for the next page.
func (c Cursor) String() string { return fmt.Sprintf("%d.%s", c.Place, c.After) }

// Snapshots reads a page of what stands of a topic over places, as Outbox.Snapshot does in each. A page is of one place, so it may have
// fewer than the next one, and the last one may be empty. Next is zero after the last page.
func Snapshots(ctx context.Context, owner string, places []place.Place, topic string, after Cursor, limit int,
	rows func(at place.Place, tx *sql.Tx, versions []Version) ([]Standing, error),
) (page []Standing, next Cursor, err error) {
	for next = after; len(page) == 0; {
		if next.Place >= len(places) {
			return nil, Cursor{}, nil
		}
		at := places[next.Place]
		next.After, err = Of(owner, at.Suffix).Snapshot(ctx, at, topic, next.After, limit, func(tx *sql.Tx, versions []Version) (err error) {
			page, err = rows(at, tx, versions)
			return err
		})
		if err != nil {
			return nil, Cursor{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError(owner, owner+"_versions"+at.Suffix, err))
		}
		if next.After == "" {
			next.Place++
		}
	}
	if next.Place == len(places) {
		next = Cursor{}
	}
	return page, next, nil
}
