package notify

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"

	"sluice/core/db"
	"sluice/core/limit"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/stock"
)

// Caps bound how many messages people may ask for, over all processes. 0 sets no bound.
type Caps struct {
	PerRecipient int // in an hour
	PerAddress   int // of who asks, in an hour
	PerCountry   int // of a number, in a day
	PerDay       int // in all
}

// Ask is the wish of somebody for a message.
type Ask struct {
	Channel Channel
	To      string
	From    netip.Addr // of who asks
	Known   bool       // who asks is known to be the recipient: what strangers ask for does not count against it
}

// The kinds of the refusals.
var (
	tooMany = problem.NewKind(problem.Kind{
		Code: "too_many_messages", Status: http.StatusTooManyRequests, Retryable: true, RetryAfter: 60, Title: "Too many messages were asked for; none was sent.",
	})
	noChannel = problem.NewKind(problem.Kind{
		Code: "no_channel", Status: http.StatusConflict, Title: "The shop sends no such messages.",
	})
)

// Kinds are the kinds of problems that callers pass on.
func Kinds() []*problem.Kind { return []*problem.Kind{tooMany, noChannel} }

// The names of the caps, in metrics.
const (
	capRecipient = "recipient"
	capAddress   = "address"
	capCountry   = "country"
	capDay       = "day"
)

var capNames = []string{capRecipient, capAddress, capCountry, capDay}

// count is one of the counts that an ask adds to.
type count struct {
	name   string
	value  []byte // its row
	max    int
	during time.Duration
}

// countsOf lists what an ask adds to, in the order in which all lock them: first what few share.
func (m *Messages) countsOf(a Ask) (all []count) {
	add := func(name, value string, most int, during time.Duration) {
		if most > 0 {
			index := m.o.Sealer.Index("notify "+name, value)
			all = append(all, count{name, index[:16], most, during})
		}
	}
	recipient := string(a.Channel) + " " + person(a.Channel, a.To)
	if a.Known {
		recipient += " known"
	}
	add(capRecipient, recipient, m.o.Caps.PerRecipient, time.Hour)
	if a.From.IsValid() {
		add(capAddress, limit.Address(a.From).String(), m.o.Caps.PerAddress, time.Hour)
	}
	if a.Channel == SMS {
		add(capCountry, country(a.To), m.o.Caps.PerCountry, 24*time.Hour)
	}
	add(capDay, "", m.o.Caps.PerDay, 24*time.Hour)
	return all
}

// person is a recipient for counting: most servers deliver addresses that differ in case, in dots or behind a plus sign to one
// person. A number is in one form already.
func person(channel Channel, to string) string {
	if channel != Email {
		return to
	}
	at := strings.LastIndexByte(to, '@')
	local, _, _ := strings.Cut(to[:at], "+")
	return strings.ToLower(strings.ReplaceAll(local, ".", "") + to[at:])
}

// country is that of a number. All numbers of no known country count as one.
func country(number string) string {
	parsed, err := phonenumbers.Parse(number, "")
	if err != nil {
		return ""
	}
	return phonenumbers.GetRegionCodeForNumber(parsed)
}

// Allow counts a message that somebody asks for, before it is added. Its errors are problems: too_many_messages, or
// no_channel if the shop has no such channel. Notices of what has happened need no leave: else somebody could ask for so
// many codes that the owner of an account is not told of its theft.
func (m *Messages) Allow(ctx context.Context, a Ask) error {
	if !Reaches(a.Channel, a.To) {
		return fmt.Errorf("ask for a message: its recipient is none of channel %.20q", a.Channel)
	}
	if err := m.takes(a.Channel); err != nil {
		return err
	}
	counts := m.countsOf(a)
	if len(counts) == 0 {
		return nil
	}
	over, wait, err := m.count(ctx, counts)
	if err != nil || over == "" {
		return err
	}
	m.metrics.capped[over].Inc()
	return &problem.Problem{Kind: tooMany, RetryAfter: wait}
}

// count adds one to all counts, unless one of them is at its cap: then it reports which, and for how many seconds more.
func (m *Messages) count(ctx context.Context, counts []count) (over string, wait int64, err error) {
	// Whoever is over the cap takes no lock from the others.
	if over, wait, err = m.over(ctx, m.o.Counts.Writer(), counts, 1); err != nil || over != "" {
		return over, wait, err
	}
	for range triesMax {
		err = db.Write(ctx, m.o.Counts.Writer(), "a count of messages", func(tx *sql.Tx) (err error) {
			if over, wait, err = m.take(ctx, tx, counts); err == nil && over != "" {
				err = errOver
			}
			return err
		})
		if db.Answer(err) != db.AnswerDeadlock {
			break
		}
	}
	if over != "" {
		return over, wait, nil
	}
	return "", 0, err
}

const triesMax = 3

var errOver = errors.New("over the cap")

const (
	countMessage = "INSERT INTO notify_counts__ (value, count, ends_at) VALUES %s ON DUPLICATE KEY UPDATE " +
		"count = IF(ends_at <= NOW(3), 1, count + 1), ends_at = IF(ends_at <= NOW(3), VALUES(ends_at), ends_at)"
	countRow   = "(?, 1, NOW(3) + INTERVAL ? MICROSECOND)"
	readCounts = "SELECT value, count, TIMESTAMPDIFF(MICROSECOND, NOW(3), ends_at) FROM notify_counts__ WHERE ends_at > NOW(3) AND value IN (%s)"

	deleteCounts = "DELETE FROM notify_counts__ WHERE ends_at <= NOW(3) ORDER BY ends_at LIMIT ?"
)

// list repeats a part of a statement, once for each of the counts.
func list(statement, part string, counts []count) string {
	return fmt.Sprintf(statement, strings.TrimSuffix(strings.Repeat(part+",", len(counts)), ","))
}

// take adds one to all counts, and reports which of them is over its cap by that. Its caller rolls back then.
func (m *Messages) take(ctx context.Context, tx *sql.Tx, counts []count) (over string, wait int64, err error) {
	var values []any
	for _, c := range counts {
		values = append(values, c.value, c.during.Microseconds())
	}
	if _, err := m.o.Counts.In(tx).ExecContext(ctx, list(countMessage, countRow, counts), values...); err != nil {
		return "", 0, db.WriteError("count messages", err)
	}
	return m.over(ctx, tx, counts, 0)
}

// over reports which count would be over its cap with so many more, and how many seconds the longest of them stays so.
func (m *Messages) over(ctx context.Context, in place.Conn, counts []count, more int) (over string, wait int64, err error) {
	var values []any
	caps := map[string]count{}
	for _, c := range counts {
		values = append(values, c.value)
		caps[string(c.value)] = c
	}
	err = db.Rows(ctx, m.o.Counts.In(in), func(row *sql.Rows) error {
		var value []byte
		var found int
		var left int64
		err := row.Scan(&value, &found, &left)
		if c := caps[string(value)]; err == nil && found+more > c.max {
			if seconds := int64(math.Ceil(float64(left) / 1e6)); seconds > wait {
				over, wait = c.name, seconds
			}
		}
		return err
	}, list(readCounts, "?", counts), values...)
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("counts of messages", "notify_counts"+m.o.Counts.Suffix, err))
	}
	return over, wait, nil
}
