package assess

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/time/rate"

	"sluice/catalog/account/audit"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

const (
	insertAnswer = "INSERT INTO assess_answers__ (moment, subject, answer, rule, rules, facts, made_at, review) VALUES (?, ?, ?, ?, ?, ?, NOW(3), ?)"
	selectAnswer = "SELECT answer, rule, rules, facts FROM assess_answers__ WHERE moment = ? AND subject = ?"

	deleteAnswer = "DELETE FROM assess_answers__ WHERE moment = ? AND subject = ?"

	countToday  = "INSERT INTO assess_counts__ (value, day, count) VALUES (?, UTC_DATE(), 1) ON DUPLICATE KEY UPDATE count = IF(day < VALUES(day), 1, count + 1), day = VALUES(day)"
	selectToday = "SELECT count FROM assess_counts__ WHERE value = ? AND day = UTC_DATE()"
	sweepCounts = "DELETE FROM assess_counts__ WHERE day < UTC_DATE() LIMIT ?"
)

// Case is what is assessed: a subject at a moment.
type Case struct {
	Moment  Moment
	Subject int64 // an id of the kind that the moment has
}

// Assessor is what packages of the shop ask. *Assessments is one.
type Assessor interface {
	// Assess answers a case. A case that has an answer keeps it. A denial is stored here, because nothing follows from it.
	Assess(ctx context.Context, c Case, f Facts) (Verdict, error)
	// Note stores any other answer, in the transaction of its effect, which is where the subject's rows are. If a person has to
	// look, the case waits for a review from then on.
	Note(ctx context.Context, tx *sql.Tx, c Case, v Verdict) error
}

// Asker is a package that asks at a moment.
type Asker struct {
	Object func(subject int64) string      // what a subject is called in the log of privileged acts: user:4711
	At     func(subject int64) shard.Shard // where the rows of a subject are
	Users  bool                            // its subjects are users
	Free   bool                            // who asks names the subject: denials are counted, and not kept, because there is no end of them

	// Mine reports whether a case is the author's own, in a transaction. Nil: it never is.
	Mine func(ctx context.Context, tx *sql.Tx, at place.Place, subject int64, by audit.Author) (bool, error)
	// Decided does what follows from the decision of a person, in its transaction.
	Decided func(ctx context.Context, tx *sql.Tx, at place.Place, o Outcome) error
}

// Config has what assessments call.
type Config struct {
	Databases *place.Databases // the caller closes them
	File      string           // of the rules; empty: Default
	// Index is a keyed hash of what is counted.
	Index   func(name, value string) [32]byte
	Metrics *metrics.Set
	Log     *slog.Logger
}

// Assessments answer, and keep their answers. They are safe for concurrent use once all Askers are known.
type Assessments struct {
	cfg    Config
	rules  atomic.Pointer[Rules]
	askers map[Moment]Asker
	acts   audit.Log

	complaints rate.Sometimes
}

// New reads the rules.
func New(cfg Config) (*Assessments, error) {
	a := &Assessments{cfg: cfg, askers: map[Moment]Asker{}, complaints: rate.Sometimes{First: 1, Interval: time.Minute}}
	if err := a.Reload(context.Background()); err != nil {
		return nil, err
	}
	for _, m := range moments {
		for _, answer := range answers {
			a.count(m, answer, 0)
		}
	}
	return a, nil
}

// Reload reads the rules anew. If that fails, they stay as they are.
func (a *Assessments) Reload(ctx context.Context) error {
	rules, err := Load(a.cfg.File)
	if err != nil {
		return err
	}
	if before := a.rules.Swap(rules); before != nil && before.version != rules.version {
		a.cfg.Log.InfoContext(ctx, "there are new rules of assessment", "file", a.cfg.File, "version", rules.version)
	}
	return nil
}

// Register makes known who asks at a moment, before anybody does.
func (a *Assessments) Register(m Moment, by Asker) { a.askers[m] = by }

// at is where the rows of a case are.
func (a *Assessments) at(c Case) (place.Place, Asker, error) {
	by, is := a.askers[c.Moment]
	if !is {
		return place.Place{}, by, fmt.Errorf("nobody asks at %.40q", string(c.Moment))
	}
	return a.cfg.Databases.At(by.At(c.Subject)), by, nil
}

// Assess implements Assessor.
func (a *Assessments) Assess(ctx context.Context, c Case, f Facts) (Verdict, error) {
	p, by, err := a.at(c)
	if err != nil {
		return Verdict{}, err
	}
	v, found, err := a.first(ctx, p, c)
	if found || err != nil {
		return v, err
	}
	if v = a.rules.Load().Assess(c.Moment, f); v.Answer != Deny {
		return v, nil
	}
	if by.Free {
		a.count(c.Moment, v.Answer, 1)
		return v, nil
	}
	err = a.note(ctx, p.In(p.Writer()), c, v)
	if db.Answer(err) == db.AnswerDuplicate { // another request was first
		v, _, err = a.first(ctx, p, c)
	}
	return v, err
}

// first reads the answer that a case has.
func (a *Assessments) first(ctx context.Context, p place.Place, c Case) (v Verdict, found bool, err error) {
	var facts string
	err = p.In(p.Writer()).QueryRowContext(ctx, selectAnswer, c.Moment, c.Subject).Scan(&v.Answer, &v.Rule, &v.Rules, &facts)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return v, false, nil
	case err != nil:
		return v, false, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("assessment", "assess_answers"+p.Suffix, err))
	}
	v.Facts = split(facts)
	return v, true, nil
}

// Note implements Assessor.
func (a *Assessments) Note(ctx context.Context, tx *sql.Tx, c Case, v Verdict) error {
	p, _, err := a.at(c)
	if err != nil {
		return err
	}
	return a.note(ctx, p.In(tx), c, v)
}

func (a *Assessments) note(ctx context.Context, in place.Conn, c Case, v Verdict) error {
	review := reviewNone
	if v.Answer.Reviewed() {
		review = reviewWaiting
	}
	if _, err := in.ExecContext(ctx, insertAnswer, c.Moment, c.Subject, v.Answer, v.Rule, v.Rules, join(v.Facts), review); err != nil {
		return db.WriteError("note an assessment", err)
	}
	a.count(c.Moment, v.Answer, 1)
	return nil
}

// Forget deletes the answers about an erased user, with what people have decided and why. It may be done again.
func (a *Assessments) Forget(ctx context.Context, user ids.User) error {
	for m, by := range a.askers {
		if !by.Users {
			continue
		}
		p := a.cfg.Databases.At(by.At(int64(user)))
		if _, err := p.In(p.Writer()).ExecContext(ctx, deleteAnswer, m, user); err != nil {
			return db.WriteError("forget a user of assessments", err)
		}
	}
	return nil
}

func (a *Assessments) count(m Moment, answer Answer, n int) {
	a.cfg.Metrics.GetOrCreateCounter(fmt.Sprintf(`sluice_catalog_assess_verdicts_total{kind=%q,verdict=%q}`, m, answer)).Add(n)
}

func join(facts []Fact) string {
	words := make([]string, len(facts))
	for i, f := range facts {
		words[i] = string(f)
	}
	return strings.Join(words, " ")
}

func split(words string) (facts []Fact) {
	for word := range strings.FieldsSeq(words) {
		facts = append(facts, Fact(word))
	}
	return facts
}

// counted is what a network is counted as.
func (a *Assessments) counted(network netip.Prefix) (value []byte, at place.Place) {
	index := a.cfg.Index("assess users", network.String())
	value = index[:16]
	return value, a.cfg.Databases.At(shard.OfValue(value))
}

// countWithin bounds what a place that hangs takes of the time of a request, which goes on without it.
const countWithin = 2 * time.Second

// OfNetwork tells what is known of the network of an address. Where the count cannot be read it is not known, so that its place keeps
// nobody out while it is away.
func (a *Assessments) OfNetwork(ctx context.Context, address netip.Addr) (f Facts) {
	network := NetworkOf(address)
	if !network.IsValid() {
		return f
	}
	f.Word(NetworkName, network.String())
	value, p := a.counted(network)
	var users int64
	within, cancel := context.WithTimeout(ctx, countWithin)
	defer cancel()
	err := p.In(p.Writer()).QueryRowContext(within, selectToday, value).Scan(&users)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		a.complaints.Do(func() {
			a.cfg.Log.WarnContext(ctx, "people are assessed without the number of new users of their network", "place", p.Name, "error", err)
		})
		return f
	}
	f.Number(NetworkUsers, users)
	return f
}

// CountUser counts a user who was made from an address. It comes after the commit, so a process that ends there counts one less.
func (a *Assessments) CountUser(ctx context.Context, address netip.Addr) {
	network := NetworkOf(address)
	if !network.IsValid() {
		return
	}
	value, p := a.counted(network)
	within, cancel := context.WithTimeout(ctx, countWithin)
	defer cancel()
	if _, err := p.In(p.Writer()).ExecContext(within, countToday, value); err != nil {
		a.cfg.Log.DebugContext(ctx, "a new user is not counted", "error", err)
	}
}

// Sweep deletes the counts of earlier days.
func (a *Assessments) Sweep(ctx context.Context) error {
	var faults []error
	for _, p := range a.cfg.Databases.All(shard.Values) {
		_, err := db.InParts(ctx, p.In(p.Writer()), "delete old counts", sweepCounts)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}
