package registry

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/core/lifecycle"
	"sluice/core/stock/redisstock"
)

// Difference is a number of registered users that differs from the number of rows in MySQL.
type Difference struct {
	Sale      uint32
	Partition int     // of the set in Redis; -1: the row of the sale, which counts the users, is wrong
	Has       int64   // users there
	Rows      int64   // users in MySQL
	Strangers []int64 // some of whom the set has and MySQL has not
}

const (
	// compareEvery is the time between two looks at a difference. A load in progress adds users meanwhile.
	compareEvery = time.Second
	// looksMax is how often Compare looks at most. Sets that grow all the time are being loaded.
	looksMax = 4
	// strangersMax is how many users a difference names.
	strangersMax = 10
)

const selectRows = `SELECT s.sale_id, s.registered, (SELECT COUNT(*) FROM registrations r WHERE r.sale_id = s.sale_id)
	FROM sales s WHERE s.registered_only AND s.registered_kept AND (? = 0 OR s.sale_id = ?) ORDER BY s.sale_id`

// Compare compares the users of a sale, or with 0 of all sales, in MySQL and Redis. Users on their way to Redis are no
// difference: what differs is looked at again, and counts only if it has stayed as it was.
func (r *Registry) Compare(ctx context.Context, sale uint32) ([]Difference, error) {
	var before []Difference
	for look := 1; ; look++ {
		found, err := r.differences(ctx, sale)
		if err != nil {
			return nil, err
		}
		same := slices.DeleteFunc(slices.Clone(found), func(d Difference) bool {
			return !slices.ContainsFunc(before, func(b Difference) bool {
				return b.Sale == d.Sale && b.Partition == d.Partition && b.Has == d.Has
			})
		})
		switch {
		case len(found) == len(same) || look == looksMax:
			return same, r.nameStrangers(ctx, same)
		case !lifecycle.Pause(ctx, compareEvery):
			return nil, ctx.Err()
		}
		before = found
	}
}

// counted is a sale's users in MySQL.
type counted struct {
	sale      uint32
	row, rows int64 // as the sale's row counts them, and the rows that there are
}

// differences is one look. The rows are read before the sets and, where a set has more, afterwards again: Redis never has a user
// before MySQL.
func (r *Registry) differences(ctx context.Context, sale uint32) (found []Difference, err error) {
	sales, err := r.counted(ctx, sale)
	if err != nil {
		return nil, err
	}
	more := false
	for _, s := range sales {
		if s.row != s.rows {
			found = append(found, Difference{Sale: s.sale, Partition: -1, Has: s.row, Rows: s.rows})
		}
		sets, err := r.sets(ctx, s.sale)
		if err != nil {
			return nil, err
		}
		counts, err := r.store.CountUsers(ctx, sets)
		if err != nil {
			return nil, fmt.Errorf("count users of sale %d: %w", s.sale, err)
		}
		for i, of := range sets {
			if counts[i] != s.rows {
				found = append(found, Difference{Sale: s.sale, Partition: of.Partition, Has: counts[i], Rows: s.rows})
				more = more || counts[i] > s.rows
			}
		}
	}
	if !more {
		return found, nil
	}
	if sales, err = r.counted(ctx, sale); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(d Difference) bool {
		at, known := slices.BinarySearchFunc(sales, d.Sale, func(s counted, id uint32) int { return cmp.Compare(s.sale, id) })
		return d.Has > d.Rows && d.Partition >= 0 && known && d.Has <= sales[at].rows
	}), nil
}

func (r *Registry) counted(ctx context.Context, sale uint32) (sales []counted, err error) {
	err = query(ctx, r.db, "registrations", func(rows *sql.Rows) error {
		var s counted
		err := rows.Scan(&s.sale, &s.row, &s.rows)
		sales = append(sales, s)
		return err
	}, selectRows, sale, sale)
	return sales, err
}

// nameStrangers looks for users whom sets have and MySQL has not.
func (r *Registry) nameStrangers(ctx context.Context, found []Difference) error {
	for i := range found {
		d := &found[i]
		if d.Partition < 0 || d.Has <= d.Rows {
			continue
		}
		var page []int64
		look := func() error {
			there, err := r.registered(ctx, d.Sale, page)
			for _, user := range page {
				if err == nil && !there[user] && len(d.Strangers) < strangersMax && !slices.Contains(d.Strangers, user) {
					d.Strangers = append(d.Strangers, user)
				}
			}
			page = page[:0]
			return err
		}
		err := r.store.ScanUsers(ctx, redisstock.UserSet{Partition: d.Partition, Sale: d.Sale}, func(user int64) error {
			if page = append(page, user); len(page) < usersPerStatement {
				return nil
			}
			return look()
		})
		if err == nil && len(page) > 0 {
			err = look()
		}
		if err != nil {
			return err
		}
		slices.Sort(d.Strangers)
	}
	return nil
}

const selectThese = "SELECT user_id FROM registrations WHERE sale_id = ? AND user_id IN (?"

// registered returns those of some users who have a row.
func (r *Registry) registered(ctx context.Context, sale uint32, users []int64) (map[int64]bool, error) {
	there, values := make(map[int64]bool, len(users)), []any{sale}
	for _, user := range users {
		values = append(values, user)
	}
	err := query(ctx, r.db, "registrations", func(rows *sql.Rows) error {
		var user int64
		err := rows.Scan(&user)
		there[user] = true
		return err
	}, selectThese+strings.Repeat(", ?", len(users)-1)+")", values...)
	return there, err
}

// Recount returns the statement by which an operator sets the number of users in a sale's row right.
func Recount(sale, rows int64) string {
	return fmt.Sprintf("UPDATE sales SET registered = %d WHERE sale_id = %d", rows, sale)
}
