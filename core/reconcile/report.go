package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"sluice/core/show"
	"sluice/core/stock"
)

// Bounds of a report. The summary counts all findings.
const (
	findingsMax     = 10_000
	stepsPlannedMax = 10_000
	trailsMax       = 500 // cells
	stepsMax        = 200 // of the history of a cell
)

// Verdict is the result of a sweep in one word.
type Verdict string

// The verdicts.
const (
	Clean      Verdict = "clean"
	HasDrift   Verdict = "drift"
	NotChecked Verdict = "unverified" // no drift was found, and not everything could be read
)

// Summary is the result of a sweep in numbers.
type Summary struct {
	Verdict        Verdict             `json:"verdict"`
	StartedAt      show.Moment         `json:"started_at"` // by Redis' clock, like all times here
	EndedAt        show.Moment         `json:"ended_at"`
	Cells          int64               `json:"cells"`
	InSync         int64               `json:"in_sync"`
	InFlight       int64               `json:"in_flight"`
	Drift          int64               `json:"drift"`
	Unverified     int64               `json:"unverified"`
	Reservations   int64               `json:"open_reservations"`    // that were counted in Redis
	LedgerRows     int64               `json:"ledger_rows,omitzero"` // older ones that were read
	EventsInFlight int64               `json:"events_in_flight"`     // of the cells that were looked at closely
	Calls          int64               `json:"calls"`                // of Redis and MySQL that the sweep made
	Findings       int64               `json:"findings"`
	LeftOut        int64               `json:"findings_left_out"` // of the list: it has no more than it has room for
	ByType         map[Type]int64      `json:"by_type"`
	Units          map[Direction]int64 `json:"units"`
	Unread         []Unread            `json:"unread"`
}

// Unread is a store, or a part of one, that could not be read.
type Unread struct {
	Store      Store       `json:"store"`
	Since      show.Moment `json:"unverified_since"`
	Partitions []int       `json:"partitions,omitzero"`
	Error      string      `json:"error"`
}

// Report has the findings of a sweep.
type Report struct {
	Summary  Summary   `json:"summary"`
	Findings []Finding `json:"findings"`
	Users    []Users   `json:"registered_users"`

	// Steps are the repairs of the findings, in no order. If there are too many, some are left out.
	Steps []RepairStep `json:"-"`
	cut   bool         // there were more steps

	// Trails are the ways of cells through the stores: those with findings, and those that were asked for by name.
	Trails []Trail `json:"-"`
}

// Trail is a cell's way through the stores.
type Trail struct {
	Cell     stock.Cell
	Class    Class
	Findings []Finding
	Redis    *State // nil: Redis has no such cell
	MySQL    *State
	Steps    []Step // the last ones, by position
	LeftOut  int    // steps before these
}

// Step is one place in a cell's history, and who has it.
type Step struct {
	Event

	Ledger, Outbox, Kafka, Applied bool
	Missing                        bool // nobody has it; Event has the position only
	Note                           string
}

func newReport() *Report {
	return &Report{Findings: []Finding{}, Users: []Users{}, Summary: Summary{ByType: map[Type]int64{}, Units: map[Direction]int64{}, Unread: []Unread{}}}
}

func (r *Report) add(findings ...Finding) {
	for i := range findings {
		f := &findings[i]
		r.Summary.Findings++
		r.Summary.ByType[f.Type]++
		r.Summary.Units[f.Direction] += f.Units
		if len(r.Findings) < findingsMax {
			r.Findings = append(r.Findings, *f)
		} else {
			r.Summary.LeftOut++
		}
	}
}

// plan notes steps, as many as there is room for: the next plan has the rest.
func (r *Report) plan(steps ...RepairStep) {
	room := min(len(steps), stepsPlannedMax-len(r.Steps))
	r.cut = r.cut || len(steps) > room || len(steps) >= stepsOfCellMax
	r.Steps = append(r.Steps, steps[:room]...)
}

// Whole tells whether everything in the scope of the sweep was verified, and its steps are all that there are: what they do not
// have needs no repair.
func (r *Report) Whole() bool {
	s := &r.Summary
	return !r.cut && s.Unverified == 0 && len(s.Unread) == 0 && s.ByType[Unverifiable] == 0
}

// Quantity is how much was found.
type Quantity struct {
	Findings int64 `json:"findings"`
	Units    int64 `json:"units"`
}

// Quantities is how much was found of each type. The units are those of the findings that the report lists.
func (r *Report) Quantities() map[Type]Quantity {
	all := map[Type]Quantity{}
	for t, n := range r.Summary.ByType {
		all[t] = Quantity{Findings: n}
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		q := all[f.Type]
		q.Units += f.Units
		all[f.Type] = q
	}
	return all
}

// count takes a cell into the summary.
func (r *Report) count(c Class, cells int64) {
	switch c {
	case Absent:
		return
	case InSync:
		r.Summary.InSync += cells
	case InFlight:
		r.Summary.InFlight += cells
	case Drift:
		r.Summary.Drift += cells
	case Unverified:
		r.Summary.Unverified += cells
	}
	r.Summary.Cells += cells
}

func (r *Report) unread(s Store, partition int, since time.Time, err error) {
	i := slices.IndexFunc(r.Summary.Unread, func(u Unread) bool { return u.Store == s && u.Error == err.Error() })
	if i < 0 {
		i = len(r.Summary.Unread)
		r.Summary.Unread = append(r.Summary.Unread, Unread{Store: s, Since: show.Moment(since.UnixMilli()), Error: err.Error()})
	}
	if u := &r.Summary.Unread[i]; partition >= 0 {
		u.Partitions = append(u.Partitions, partition)
	}
}

// close sorts the report and says what it comes to.
func (r *Report) close() {
	order(r.Findings)
	slices.SortFunc(r.Trails, func(a, b Trail) int {
		return cmp.Or(cmp.Compare(a.Cell.SKU, b.Cell.SKU), cmp.Compare(a.Cell.Pool, b.Cell.Pool), cmp.Compare(a.Cell.Bucket, b.Cell.Bucket))
	})
	switch {
	case r.Summary.Findings > r.Summary.ByType[Unverifiable], len(r.Users) > 0:
		r.Summary.Verdict = HasDrift
	case r.Summary.Unverified > 0 || len(r.Summary.Unread) > 0 || r.Summary.Findings > 0:
		r.Summary.Verdict = NotChecked
	default:
		r.Summary.Verdict = Clean
	}
}

// trailOf is the way of a cell through the stores.
func trailOf(v *View, j Judgement) Trail {
	t := Trail{Cell: v.Cell, Class: j.Class, Findings: j.Findings, MySQL: v.Projection}
	if v.Redis != nil {
		t.Redis = &State{v.Redis.Position, v.Redis.Balances}
	}
	events := slices.DeleteFunc(slices.Clone(v.Events), func(e Event) bool { return v.walked(&e) })
	slices.SortStableFunc(events, func(a, b Event) int { return a.Compare(b.Position) })
	at := v.From
	for i := range events {
		e := &events[i]
		if n := len(t.Steps); n == 0 || t.Steps[n-1].Position != e.Position {
			if n > 0 && e.Epoch == at.Epoch && e.Seq > at.Seq+1 {
				t.Steps = append(t.Steps, missingStep(at, e.Seq-1))
			}
			t.Steps = append(t.Steps, Step{Event: *e, Applied: v.past == nil && !v.From.Less(e.Position)})
			at = e.Position
		}
		s := &t.Steps[len(t.Steps)-1]
		switch e.Store {
		case InLedger:
			s.Ledger = true
		case InOutbox:
			s.Outbox = true
		case InKafka:
			s.Kafka = true
		case InRedis, InStock, InReservations, InLetters, InRegistrations, InEdges:
		}
		if v.Redis != nil && e.Position == v.Redis.Position {
			s.Note = "Redis' counters are here"
		}
	}
	if v.Redis != nil && at.Epoch == v.Redis.Epoch && at.Less(v.Redis.Position) {
		t.Steps = append(t.Steps, missingStep(at, v.Redis.Seq))
	}
	if t.LeftOut = max(0, len(t.Steps)-stepsMax); t.LeftOut > 0 {
		t.Steps = slices.Clone(t.Steps[t.LeftOut:])
	}
	if v.past != nil {
		t.LeftOut += v.past.events
	}
	return t
}

// missingStep stands for the events that are missing after a position, up to a seq.
func missingStep(after stock.Position, last uint64) Step {
	s := Step{Missing: true}
	s.Position = stock.Position{Epoch: after.Epoch, Seq: after.Seq + 1}
	if last > s.Seq {
		s.Note = fmt.Sprintf("and all up to seq %d", last)
	}
	return s
}
