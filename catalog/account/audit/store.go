package audit

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"sluice/core/db"
	"sluice/core/place"
	"sluice/core/stock"
)

const (
	columns = "chain, n, at, actor, act, object, origin, why, changes, ref, hash"

	selectHead = "SELECT NOW(3), COALESCE((SELECT n FROM audit_entries__ WHERE chain = ? ORDER BY n DESC LIMIT 1), 0), " +
		"(SELECT hash FROM audit_entries__ WHERE chain = ? ORDER BY n DESC LIMIT 1), (SELECT COUNT(*) FROM audit_entries__ WHERE ref = ?)"
	insertEntry = "INSERT INTO audit_entries__ (" + columns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

	selectHeads = "SELECT e.chain, e.n, e.hash FROM (SELECT chain, MAX(n) AS n FROM audit_entries__ GROUP BY chain) AS heads " +
		"JOIN audit_entries__ AS e ON e.chain = heads.chain AND e.n = heads.n ORDER BY e.chain"
	selectChain = "SELECT " + columns + " FROM audit_entries__ WHERE chain = ? AND n > ? AND n <= ? ORDER BY n LIMIT 1000"
	pageRows    = 1000 // of selectChain

	// turnsMax is how often an entry finds that another one was first. Each has waited for a commit of the other.
	turnsMax = 1000
)

// insert writes an entry behind the last one of its chain. Who comes second finds the place taken: the unique key makes it wait
// until the first has committed, and then it takes the next place. So entries have the order of commits, and no row is
// ever changed.
func insert(ctx context.Context, conn place.Conn, e *Entry) error {
	ref := sql.NullString{String: e.Ref, Valid: e.Ref != ""}
	for range turnsMax {
		var last uint64
		var hash []byte
		var before Hash
		var known int
		if err := conn.QueryRowContext(ctx, selectHead, e.Chain, e.Chain, ref).Scan(&e.At, &last, &hash, &known); err != nil {
			return fmt.Errorf("write down %s: %w: %w", e.Act, stock.ErrNotApplied, db.ReadError("audit log", "audit_entries", err))
		}
		if known > 0 {
			return nil
		}
		copy(before[:], hash)
		e.N = last + 1
		e.Hash = e.follow(before)
		_, err := conn.ExecContext(ctx, insertEntry, e.Chain, e.N, e.At, e.Actor, e.Act, e.Object, e.Origin, e.Why, []byte(e.Changes), ref, e.Hash[:])
		if err == nil {
			return nil
		}
		if db.Answer(err) != db.AnswerDuplicate {
			return db.WriteError("write down "+e.Act, err)
		}
	}
	return fmt.Errorf("write down %s: %w: another act of chain %v was always first, or the transaction does not read what others have committed",
		e.Act, stock.ErrNotApplied, e.Chain)
}

// Reader reads the log in all places.
type Reader struct{ places []place.Place }

// NewReader makes a reader.
func NewReader(of *place.Databases) *Reader { return &Reader{Places(of)} }

// Places are all places that have entries: those of every kind, each once.
func Places(of *place.Databases) (all []place.Place) {
	seen := map[string]bool{}
	for _, kind := range kinds {
		for _, p := range of.All(kind) {
			if !seen[p.Name] {
				seen[p.Name] = true
				all = append(all, p)
			}
		}
	}
	return all
}

// Head is the last entry of a chain.
type Head struct {
	Chain Chain  `json:"chain"`
	N     uint64 `json:"n"`
	Hash  Hash   `json:"hash"`
}

// heads reads where the chains of a place end.
func heads(ctx context.Context, p place.Place) (all []Head, err error) {
	err = db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		var h Head
		var hash []byte
		err := row.Scan(&h.Chain, &h.N, &hash)
		copy(h.Hash[:], hash)
		all = append(all, h)
		return err
	}, selectHeads)
	if err != nil {
		return nil, fmt.Errorf("place %s: %w", p.Name, db.ReadError("audit log", "audit_entries", err))
	}
	return all, nil
}

// Heads reads where all chains end. With an error it returns those of the places that could be read.
func (r *Reader) Heads(ctx context.Context) (all []Head, err error) {
	var faults []error
	for _, p := range r.places {
		here, err := heads(ctx, p)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all = append(all, here...)
	}
	slices.SortStableFunc(all, func(a, b Head) int { return cmp.Compare(a.Chain, b.Chain) })
	return all, errors.Join(faults...)
}

// Walk calls do for all entries that are there when it begins, chain by chain and in their order, and tells before each chain
// where it ends. It keeps a page of them in memory.
func (r *Reader) Walk(ctx context.Context, chain func(Head) error, do func(*Entry) error) error {
	for _, p := range r.places {
		ends, err := heads(ctx, p)
		if err != nil {
			return err
		}
		for _, end := range ends {
			if err := chain(end); err != nil {
				return err
			}
			if err := walk(ctx, p, end, do); err != nil {
				return err
			}
		}
	}
	return nil
}

func walk(ctx context.Context, p place.Place, end Head, do func(*Entry) error) error {
	for after, read := uint64(0), pageRows; read == pageRows; {
		read = 0
		page := make([]Entry, 0, pageRows)
		if err := db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
			var e Entry
			err := e.scan(row)
			page = append(page, e)
			return err
		}, selectChain, end.Chain, after, end.N); err != nil {
			return fmt.Errorf("place %s: %w", p.Name, db.ReadError("audit log", "audit_entries", err))
		}
		for i := range page {
			if err := do(&page[i]); err != nil {
				return err
			}
			after = page[i].N
			read++
		}
	}
	return nil
}

// scan reads the columns of a row.
func (e *Entry) scan(row *sql.Rows) error {
	var ref sql.NullString
	var changes, hash []byte
	err := row.Scan(&e.Chain, &e.N, &e.At, &e.Actor, &e.Act, &e.Object, &e.Origin, &e.Why, &changes, &ref, &hash)
	e.At, e.Changes, e.Ref = e.At.UTC(), changes, ref.String
	copy(e.Hash[:], hash)
	return err
}

// Filter says which entries to look for. What is empty is any.
type Filter struct {
	Actor, Act, Object string
	From, Until        time.Time // From is inside, Until is not
}

// Page is a part of a list, the newest entries first.
type Page struct {
	Limit int
	After string // the cursor of the page before; empty: the first page
}

// LimitMax is how many entries a page has at most. The API gives fewer.
const LimitMax = 500

// ErrCursor means that a text is no cursor of a page.
var ErrCursor = errors.New("the cursor is not one of this list")

// Search finds entries as of now, the newest first, and the cursor of the next page: empty if there is none.
func (r *Reader) Search(ctx context.Context, f Filter, page Page) (found []Entry, next string, err error) {
	limit := min(max(page.Limit, 1), LimitMax)
	where, values := f.where()
	if page.After != "" {
		last, err := parseCursor(page.After)
		if err != nil {
			return nil, "", err
		}
		where = append(where, "(at < ? OR at = ? AND (chain < ? OR chain = ? AND n < ?))")
		values = append(values, last.At, last.At, last.Chain, last.Chain, last.N)
	}
	query := "SELECT " + columns + " FROM audit_entries__ WHERE " + strings.Join(append(where, "TRUE"), " AND ") + " ORDER BY at DESC, chain DESC, n DESC LIMIT ?"
	for _, p := range r.places {
		here, err := place.Read(ctx, p, db.Never, func(from place.Conn) (here []Entry, err error) {
			err = db.Rows(ctx, from, func(row *sql.Rows) error {
				var e Entry
				err := e.scan(row)
				here = append(here, e)
				return err
			}, query, append(slices.Clone(values), limit+1)...)
			return here, err
		})
		found = append(found, here...)
		if err != nil {
			return nil, "", fmt.Errorf("%w: place %s: %w", stock.ErrNotApplied, p.Name, db.ReadError("audit log", "audit_entries", err))
		}
	}
	slices.SortFunc(found, func(a, b Entry) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Chain, a.Chain), cmp.Compare(b.N, a.N))
	})
	if len(found) > limit {
		found = found[:limit]
		next = found[limit-1].cursor()
	}
	return found, next, nil
}

func (f *Filter) where() (conditions []string, values []any) {
	for _, c := range []struct{ column, value string }{{"actor", f.Actor}, {"act", f.Act}, {"object", f.Object}} {
		if c.value != "" {
			conditions, values = append(conditions, c.column+" = ?"), append(values, c.value)
		}
	}
	if !f.From.IsZero() {
		conditions, values = append(conditions, "at >= ?"), append(values, f.From.UTC())
	}
	if !f.Until.IsZero() {
		conditions, values = append(conditions, "at < ?"), append(values, f.Until.UTC())
	}
	return conditions, values
}

// cursor is the place of an entry in the list.
func (e *Entry) cursor() string {
	return fmt.Sprintf("%d.%d.%d", e.At.UnixMilli(), uint32(e.Chain), e.N)
}

func parseCursor(cursor string) (e Entry, err error) {
	var ms int64
	var chain uint32
	if _, err := fmt.Sscanf(cursor, "%d.%d.%d", &ms, &chain, &e.N); err != nil || ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return e, ErrCursor
	}
	e.At, e.Chain = time.UnixMilli(ms).UTC(), Chain(chain)
	if e.cursor() != cursor {
		return e, ErrCursor
	}
	return e, nil
}
