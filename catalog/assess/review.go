package assess

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/catalog/account/audit"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/stock"
)

// The states of a review. An answer that nobody has to look at has none.
const (
	reviewNone    = "none"
	reviewWaiting = "waiting"
	reviewAllowed = "allowed"
	reviewDenied  = "denied"
)

// claimLife is how long a claim keeps a case from others.
const claimLife = 15 * time.Minute

const (
	reviewColumns = "moment, subject, answer, rule, rules, facts, made_at, review, COALESCE(claimed_by, ''), claim_ends, COALESCE(claim_ends > NOW(3), FALSE), " +
		"COALESCE(decided_by, ''), decided_at, COALESCE(reason, '')"
	listReviews = "SELECT " + reviewColumns + " FROM assess_answers__ WHERE review = 'waiting' AND " +
		"(made_at > ? OR made_at = ? AND (moment > ? OR moment = ? AND subject > ?)) ORDER BY made_at, moment, subject LIMIT ?"
	selectReview = "SELECT " + reviewColumns + " FROM assess_answers__ WHERE moment = ? AND subject = ? AND review <> 'none'"
	lockReview   = selectReview + " FOR UPDATE"
	claimReview  = "UPDATE assess_answers__ SET claimed_by = ?, claim_ends = NOW(3) + INTERVAL ? SECOND WHERE moment = ? AND subject = ? AND review IN ('waiting', 'denied')"
	decideReview = "UPDATE assess_answers__ SET review = ?, decided_by = ?, decided_at = NOW(3), reason = ?, claimed_by = NULL, claim_ends = NULL " +
		"WHERE moment = ? AND subject = ? AND review IN ('waiting', 'denied')"
)

// Review is a case that a person has to look at, or has looked at.
type Review struct {
	Case
	Verdict

	MadeAt    time.Time
	State     string
	ClaimedBy string // while the claim counts
	ClaimEnds time.Time
	DecidedBy string
	DecidedAt time.Time
	Reason    string
}

// Decision is what a person decides.
type Decision struct {
	Allowed bool
	Reason  string
}

// Outcome is what a person has decided about a case.
type Outcome struct {
	Case
	Decision

	Was Answer
	By  audit.Author
}

var (
	unknownReview = problem.NewKind(problem.Kind{Code: "unknown_assessment", Status: http.StatusNotFound, Title: "No such assessment waits for a person."})

	errNoReview = &problem.Problem{Kind: unknownReview}
	errClaimed  = &problem.Problem{Kind: problem.WrongState, Detail: "somebody else looks at it"}
	errUnheld   = &problem.Problem{Kind: problem.WrongState, Detail: "claim it first: you have no claim, or its time is over"}
	errSelf     = &problem.Problem{Kind: problem.Forbidden, Detail: "nobody decides about themselves"}
	errDecided  = &problem.Problem{Kind: problem.WrongState, Detail: "it is decided"}
)

// String is the id of a case for people: sign_up.4711, or application.sel_0000000000015.
func (c Case) String() string {
	if c.Moment == Application {
		return string(c.Moment) + "." + ids.Seller(c.Subject).String()
	}
	return string(c.Moment) + "." + strconv.FormatInt(c.Subject, 10)
}

// MarshalText implements encoding.TextMarshaler.
func (c Case) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what String writes.
func (c *Case) UnmarshalText(text []byte) error {
	moment, subject, _ := strings.Cut(string(text), ".")
	id, ok := ids.Parse(subject)
	if Moment(moment) == Application {
		of, err := ids.Read[ids.Seller](subject)
		id, ok = int64(of), err == nil
	}
	if !ok || !slices.Contains(moments, Moment(moment)) {
		return errors.New("want the id of a review, such as sign_up.4711 or application.sel_0000000000015")
	}
	*c = Case{Moment(moment), id}
	return nil
}

// scanner is a row.
type scanner interface{ Scan(into ...any) error }

func (r *Review) scan(row scanner) error {
	var facts string
	var claimEnds, decidedAt sql.NullTime
	var claimed bool
	err := row.Scan(&r.Moment, &r.Subject, &r.Answer, &r.Rule, &r.Rules, &facts, &r.MadeAt, &r.State, &r.ClaimedBy, &claimEnds, &claimed,
		&r.DecidedBy, &decidedAt, &r.Reason)
	r.Facts, r.MadeAt = split(facts), r.MadeAt.UTC()
	if decidedAt.Valid {
		r.DecidedAt = decidedAt.Time.UTC()
	}
	if !claimed {
		r.ClaimedBy = ""
	} else {
		r.ClaimEnds = claimEnds.Time.UTC()
	}
	return err
}

// ErrCursor means that a text is no cursor of the queue.
var ErrCursor = errors.New("the cursor is not one of this list")

// Queue lists the cases that wait for a person, those first that wait longest, and the cursor of the next page: empty if there is
// none.
func (a *Assessments) Queue(ctx context.Context, limit int, after string) (found []Review, next string, err error) {
	last, err := parseCursor(after)
	if err != nil {
		return nil, "", err
	}
	for _, p := range audit.Places(a.cfg.Databases) {
		here, err := place.Read(ctx, p, db.Never, func(from place.Conn) (here []Review, err error) {
			err = db.Rows(ctx, from, func(row *sql.Rows) error {
				var r Review
				err := r.scan(row)
				here = append(here, r)
				return err
			}, listReviews, last.MadeAt, last.MadeAt, last.Moment, last.Moment, last.Subject, limit+1)
			return here, err
		})
		if err != nil {
			return nil, "", fmt.Errorf("%w: place %s: %w", stock.ErrNotApplied, p.Name, db.ReadError("reviews", "assess_answers"+p.Suffix, err))
		}
		found = append(found, here...)
	}
	slices.SortFunc(found, func(a, b Review) int {
		return cmp.Or(a.MadeAt.Compare(b.MadeAt), cmp.Compare(a.Moment, b.Moment), cmp.Compare(a.Subject, b.Subject))
	})
	if len(found) > limit {
		found = found[:limit]
		next = found[limit-1].cursor()
	}
	return found, next, nil
}

func (r *Review) cursor() string {
	return strconv.FormatInt(r.MadeAt.UnixMilli(), 10) + "." + r.String()
}

func parseCursor(cursor string) (r Review, err error) {
	if cursor == "" {
		r.MadeAt = time.UnixMilli(0).UTC()
		return r, nil
	}
	at, of, _ := strings.Cut(cursor, ".")
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil || ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) || r.UnmarshalText([]byte(of)) != nil {
		return r, ErrCursor
	}
	r.MadeAt = time.UnixMilli(ms).UTC()
	if r.cursor() != cursor {
		return r, ErrCursor
	}
	return r, nil
}

// read reads a review in a transaction.
func (a *Assessments) read(ctx context.Context, in place.Conn, query string, c Case) (r Review, err error) {
	switch err = r.scan(in.QueryRowContext(ctx, query, c.Moment, c.Subject)); {
	case errors.Is(err, sql.ErrNoRows):
		return r, errNoReview
	case err != nil:
		return r, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("review", "assess_answers", err))
	}
	return r, nil
}

// Claim keeps a case from others for a while. Whoever has it claims it for longer.
func (a *Assessments) Claim(ctx context.Context, c Case, by audit.Author) (r Review, err error) {
	p, asker, err := a.at(c)
	if err != nil {
		return r, errNoReview
	}
	err = db.Write(ctx, p.Writer(), "claim", func(tx *sql.Tx) error {
		in := p.In(tx)
		r, err := a.read(ctx, in, lockReview, c)
		switch {
		case err != nil:
			return err
		case r.State == reviewAllowed:
			return errDecided
		case r.ClaimedBy != "" && r.ClaimedBy != by.Actor:
			return errClaimed
		}
		if asker.Mine != nil { // or they would keep it from all others
			switch mine, err := asker.Mine(ctx, tx, p, c.Subject, by); {
			case err != nil:
				return err
			case mine:
				return errSelf
			}
		}
		if _, err := in.ExecContext(ctx, claimReview, by.Actor, int64(claimLife/time.Second), c.Moment, c.Subject); err != nil {
			return db.WriteError("claim a review", err)
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	return a.read(ctx, p.In(p.Writer()), selectReview, c)
}

// Decide decides a case that the author has claimed. The same decision again is a success. A denial may be taken back by an
// allowance, or one mistake would be for good.
func (a *Assessments) Decide(ctx context.Context, c Case, d Decision, by audit.Author) (r Review, err error) {
	if err := audit.CheckReason(d.Reason); err != nil {
		return r, err
	}
	p, asker, err := a.at(c)
	if err != nil {
		return r, errNoReview
	}
	state := reviewDenied
	if d.Allowed {
		state = reviewAllowed
	}
	err = db.Write(ctx, p.Writer(), "decision", func(tx *sql.Tx) error {
		in := p.In(tx)
		r, err := a.read(ctx, in, lockReview, c)
		switch {
		case err != nil:
			return err
		case r.State == state && r.DecidedBy == by.Actor && r.Reason == d.Reason: // it is a repetition
			return nil
		case r.State == reviewAllowed, r.State == reviewDenied && !d.Allowed:
			return errDecided
		case r.ClaimedBy != by.Actor:
			return errUnheld
		}
		if _, err := in.ExecContext(ctx, decideReview, state, by.Actor, d.Reason, c.Moment, c.Subject); err != nil {
			return db.WriteError("decide a review", err)
		}
		if err := asker.Decided(ctx, tx, p, Outcome{Case: c, Decision: d, Was: r.Answer, By: by}); err != nil {
			return err
		}
		before := string(r.Answer)
		if r.State == reviewDenied {
			before = r.State
		}
		return a.acts.Append(ctx, in, asker.At(c.Subject), audit.Act{
			Author: by, Act: "review.decide", Object: asker.Object(c.Subject), Why: d.Reason,
			Changes: []audit.Change{{Name: string(c.Moment), Before: before, After: state}},
		})
	})
	if err != nil {
		return r, err
	}
	return a.read(ctx, p.In(p.Writer()), selectReview, c)
}
