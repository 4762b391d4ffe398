// Package report has the record of a load run: what was planned, what shoppers got and how fast, how they fared
// against each other, and whether stock was right afterwards. It is written as JSON and read back with checks. It sends
// nothing and prints nothing.
package report

import (
	"slices"
	"time"
)

// Version is the version of the JSON. A reader refuses a newer one. In version 1, rates and seconds also have what came
// after the last shopper, and seconds also have confirmations, releases and late answers of the warm-up.
const Version = 2

// The exit codes of a run, beside the usual ones of the command line.
const (
	ExitDone        = 0
	ExitFailed      = 1   // the run was cut short
	ExitUnverified  = 7   // stock could not be judged
	ExitThreshold   = 10  // a threshold was missed
	ExitTruth       = 11  // stock is wrong
	ExitGenerator   = 12  // the generator was the bottleneck: the figures say nothing about the target
	ExitInterrupted = 130 // somebody ended the run
)

// Report is the record of a run.
type Report struct {
	Version   int       `json:"version"`
	Stamp     Stamp     `json:"stamp"`
	Plan      Plan      `json:"plan"`
	ElapsedMS float64   `json:"elapsed_ms"` // of what was measured: without the warm-up
	Outcomes  []Outcome `json:"outcomes"`   // of shoppers' requests, each repetition by itself, without those of the warm-up
	// Shoppers counts each request together with its repetitions, as its last answer. Its latency counts from when the
	// shopper came. Version 1 has none.
	Shoppers   []Outcome   `json:"shoppers,omitempty"`
	Settles    []Settle    `json:"settles,omitempty"`
	Seconds    []Second    `json:"seconds"`
	Generator  Generator   `json:"generator"`
	Fairness   *Fairness   `json:"fairness,omitempty"` // nil: nobody won, or nobody lost
	Thresholds []Threshold `json:"thresholds,omitempty"`
	Truth      Truth       `json:"truth"`
	Cut        *Cut        `json:"cut,omitempty"` // nil: the run came to its planned end
	Exit       int         `json:"exit"`          // the command's exit code
}

// Stamp says what ran where and when.
type Stamp struct {
	Start      time.Time         `json:"start"`
	Machine    string            `json:"machine"` // host name
	Platform   string            `json:"platform"`
	Kernel     string            `json:"kernel,omitempty"`
	CPU        string            `json:"cpu,omitempty"` // model name
	Cores      int               `json:"cores"`         // that the generator may use
	Memory     int64             `json:"memory_bytes,omitempty"`
	Sluice     string            `json:"sluice"` // version
	Commit     string            `json:"commit,omitempty"`
	Modified   bool              `json:"modified,omitempty"`
	Go         string            `json:"go"`
	Redis      string            `json:"redis,omitempty"` // name and version, such as "valkey 8.1.1"
	MySQL      string            `json:"mysql,omitempty"`
	Target     string            `json:"target"`
	Seed       uint64            `json:"seed"`
	SameSystem bool              `json:"same_machine"` // target and generator share the machine
	Settings   map[string]string `json:"settings"`     // flags of the run that differ from their defaults; no secrets
}

// Plan is what the run was to do.
type Plan struct {
	Text        string  `json:"text"`     // in one line, for people
	Arrivals    string  `json:"arrivals"` // constant, poisson, ramp, sale or curve
	Curve       []Point `json:"curve"`    // the planned rate over time; linear in between
	WarmUpMS    float64 `json:"warm_up_ms"`
	LengthMS    float64 `json:"length_ms"` // without the warm-up
	Shoppers    int64   `json:"shoppers"`  // planned arrivals, without the warm-up
	Users       int64   `json:"users"`
	SKUs        int64   `json:"skus"`
	Keys        string  `json:"keys"`  // hot-1, zipf or uniform
	Stock       int64   `json:"stock"` // units per SKU at the start; 0: not known
	Limit       int64   `json:"limit"` // per user; 0: none
	Retries     int     `json:"retries"`
	Impatient   float64 `json:"impatient"`
	PatienceMS  float64 `json:"patience_ms"`
	Bots        float64 `json:"bots"`
	BotTries    int     `json:"bot_tries"`
	Confirm     float64 `json:"confirm"`
	Release     float64 `json:"release"`
	Connections int     `json:"connections"`
}

// Point is a rate at a time.
type Point struct {
	AtMS      float64 `json:"at_ms"` // since the first arrival, warm-up included
	PerSecond float64 `json:"per_second"`
}

// Word names an outcome.
type Word string

// The outcomes.
const (
	Accepted Word = "accepted" // 2xx, and it is the first answer to its key
	Replayed Word = "replayed" // 2xx with the first answer once more
	SoldOut  Word = "sold_out" // 409 sold_out
	Limited  Word = "limited"  // 409 limit_reached, or 429 rate_limited
	Shed     Word = "shed"     // 503: nothing was done, a repetition may help
	Unknown  Word = "unknown"  // 504, or the request was sent and no answer came: it may or may not have happened
	Refused  Word = "refused"  // anything else: nothing was done
)

// Words are all outcomes, in the order of reports.
var Words = []Word{Accepted, Replayed, SoldOut, Limited, Shed, Unknown, Refused}

// Outcome is how often requests ended in one way, and how fast. Reports list all Words, also those that did not occur.
type Outcome struct {
	Name      Word    `json:"outcome"`
	Count     int64   `json:"count"`
	PerSecond float64 `json:"per_second"` // of those answered while shoppers came, so fewer than Count by what came later
	Latency   Latency `json:"latency"`
	// Codes has the codes of problem documents, or "no_answer" and "gave_up" for what had no answer.
	Codes map[string]int64 `json:"codes,omitempty"`
}

// Settle is what became of one kind of call after a reservation.
type Settle struct {
	Call     string    `json:"call"` // confirm or release
	Outcomes []Outcome `json:"outcomes"`
}

// Second is one second of the run. It has reservations alone: no confirmations and no releases. A second of the warm-up has
// those of its shoppers, and the others have those of the others.
type Second struct {
	Second  int   `json:"second"`            // since the first arrival; the first is 0
	WarmUp  bool  `json:"warm_up,omitempty"` // it is left out of everything else
	Planned int64 `json:"planned"`           // requests that were to be sent in it, repetitions too
	Sent    int64 `json:"sent"`              // of those planned
	Late    int64 `json:"late"`              // of those planned: sent late by the generator's own fault

	// What was answered in this second.
	Outcomes  map[Word]int64 `json:"outcomes"`
	P50MS     float64        `json:"p50_ms"` // of all outcomes
	P99MS     float64        `json:"p99_ms"`
	StockLeft *int64         `json:"stock_left,omitempty"` // free units of the most wanted SKU; nil: nobody could read it
}

// Generator is what the generator saw of itself.
type Generator struct {
	Planned int64 `json:"planned"` // requests of all kinds, without those of the warm-up
	Sent    int64 `json:"sent"`
	Late    int64 `json:"late"`   // sent more than LateMS after their time although a connection was free
	Waited  int64 `json:"waited"` // sent more than LateMS after their time because all connections were in use
	Unsent  int64 `json:"unsent"` // never sent: Planned without Sent

	UnsentWhy   map[Lack]int64 `json:"unsent_why,omitempty"` // Unsent by what was lacking
	LateMS      float64        `json:"late_ms"`              // what counts as late
	WorstMS     float64        `json:"worst_ms"`             // the latest send, for whatever reason
	CPU         float64        `json:"cpu_share"`            // of all its cores while shoppers came, 0 to 1
	Connections int            `json:"connections"`
	Peak        int            `json:"connections_peak"` // in use at once
	Bottleneck  bool           `json:"bottleneck"`
	Why         []string       `json:"why,omitempty"`
}

// Lack is what was lacking for a request that was never sent.
type Lack string

// What can be lacking.
const (
	LackConnections Lack = "connections"
	LackFiles       Lack = "open_files"
	LackPorts       Lack = "ports"
	LackPlaces      Lack = "later" // places for requests whose time has not come
	LackTime        Lack = "end"   // the run ended before
)

var lackTexts = map[Lack]string{
	LackConnections: "all connections were in use", LackFiles: "there were too many open files", LackPorts: "no port was free",
	LackPlaces: "too many requests waited for their time", LackTime: "the run ended before",
}

// Text says, for people, why requests were never sent.
func (l Lack) Text() string {
	if text := lackTexts[l]; text != "" {
		return text
	}
	return string(l)
}

// Fairness says who won against when they came, of all who wanted the most wanted SKU. Winners were accepted, losers
// were told that it is sold out; others do not count. When they came is the planned time of their first request.
type Fairness struct {
	SKU     int64 `json:"sku_id,string"`
	Winners int64 `json:"winners"`
	Losers  int64 `json:"losers"`
	// InOrder is the chance that of a winner and a loser, both drawn at random, the winner came first; whoever came in
	// the same millisecond counts half. 1 is first come, first served; 0.5 is a lottery.
	InOrder float64 `json:"in_order"`
	// FirstCome is the share of winners who are among the first that came, of as many as there are winners.
	FirstCome float64 `json:"first_come"`
	// The share of winners and of all of them who were bots.
	BotWinners  float64 `json:"bot_winners"`
	BotShoppers float64 `json:"bot_shoppers"`
	Slices      []Slice `json:"slices"` // by when they came
}

// Slice is what became of those who came in a slice of time.
type Slice struct {
	FromMS  float64 `json:"from_ms"`
	UntilMS float64 `json:"until_ms"`
	Winners int64   `json:"winners"`
	Losers  int64   `json:"losers"`
}

// Threshold is what the run was held to.
type Threshold struct {
	Text  string  `json:"text"` // as it was given
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"` // ms, or per second
	Met   bool    `json:"met"`
}

// Verdict says whether stock was right.
type Verdict string

// The verdicts.
const (
	Right      Verdict = "right"      // all stores agree with each other and with what shoppers were told
	Wrong      Verdict = "wrong"      // some do not
	Unverified Verdict = "unverified" // nothing wrong was found, and not everything could be read
	NotJudged  Verdict = "not_judged" // the run was told not to look
)

// Truth is the judgement of stock after the run. Its sums leave out the units of the warm-up.
type Truth struct {
	Verdict Verdict  `json:"verdict"`
	Reasons []string `json:"reasons,omitempty"` // what is wrong, or could not be read

	AcceptedUnits int64 `json:"accepted_units"` // units that shoppers were told they have
	UnknownUnits  int64 `json:"unknown_units"`  // units of which nobody told them: they may have them
	// Units that left avail during the run, by each store, or came back to it by a release or an expiry. Nil: not read.
	RedisUnits *int64  `json:"redis_units,omitempty"`
	MySQLUnits *int64  `json:"mysql_units,omitempty"`
	WaitedMS   float64 `json:"waited_ms"` // until MySQL had caught up

	Interrupted bool `json:"interrupted,omitempty"` // by a person
}

// Cut says why a run ended before its planned end.
type Cut struct {
	AtMS        float64 `json:"at_ms"`
	Why         string  `json:"why"`
	Interrupted bool    `json:"interrupted,omitempty"` // by a person
}

// Outcome returns the outcome of a word. It is nil if the report lacks it.
func (r *Report) Outcome(name Word) *Outcome { return outcome(r.Outcomes, name) }

// Shopper returns how shoppers fared, by a word. It is nil if the report lacks it.
func (r *Report) Shopper(name Word) *Outcome { return outcome(r.Shoppers, name) }

func outcome(of []Outcome, name Word) *Outcome {
	for i := range of {
		if of[i].Name == name {
			return &of[i]
		}
	}
	return nil
}

// Measured are the seconds in which shoppers came all the time, without the warm-up.
func (r *Report) Measured() []Second {
	return slices.DeleteFunc(slices.Clone(r.Seconds), func(s Second) bool {
		return s.WarmUp || float64(s.Second+1)*1e3 > r.Plan.WarmUpMS+r.ElapsedMS
	})
}

// Answers is the number of all requests with an outcome.
func (r *Report) Answers() int64 { return Count(r.Outcomes) }

// Count is how many requests have an outcome.
func Count(outcomes []Outcome) (n int64) {
	for i := range outcomes {
		n += outcomes[i].Count
	}
	return n
}

// ExitCode returns the code that the run ends with. Wrong stock counts more than all else, and an unfit generator more
// than the thresholds, which it makes void.
func (r *Report) ExitCode() int {
	switch {
	case r.Truth.Verdict == Wrong:
		return ExitTruth
	case r.Cut != nil && r.Cut.Interrupted, r.Truth.Interrupted:
		return ExitInterrupted
	case r.Cut != nil:
		return ExitFailed
	case r.Generator.Bottleneck:
		return ExitGenerator
	}
	for i := range r.Thresholds {
		if !r.Thresholds[i].Met {
			return ExitThreshold
		}
	}
	if r.Truth.Verdict == Unverified {
		return ExitUnverified
	}
	return ExitDone
}
