package load

import (
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/bench/report"
)

// call is a kind of request.
type call uint8

const (
	reserve call = iota
	confirm
	release
	calls
)

var callNames = [calls]string{"reserve", "confirm", "release"}

const (
	words    = 7
	codesMax = 32 // of one outcome; what a target invents beyond them counts as other
)

func indexOf(w report.Word) int { return slices.Index(report.Words, w) }

// record has the figures of a run. Each worker writes into one of its shards.
type record struct {
	warmUp time.Duration // in whole seconds: each second has shoppers of the warm-up, or others
	shards []*shard

	// Of the collector alone.
	seconds  []second                // that are over
	answered *hdrhistogram.Histogram // in these, without the warm-up
}

type second struct{ p50MS, p99MS float64 }

// tally counts what ended in one way, without the warm-up.
type tally struct {
	latency *hdrhistogram.Histogram
	inTime  int64 // while shoppers came
	codes   map[string]int64
}

func (t *tally) add(took time.Duration, inTime bool) {
	report.Record(t.latency, took)
	if inTime {
		t.inTime++
	}
}

func (t *tally) code(code string) {
	if code == "" {
		return
	}
	if _, known := t.codes[code]; !known && len(t.codes) >= codesMax {
		code = "other"
	}
	t.codes[code]++
}

type shard struct {
	warmUp time.Duration

	mu       sync.Mutex
	outcomes [calls][words]tally
	shoppers [words]tally
	answered map[int]*hdrhistogram.Histogram // by second, of those that are not over
	over     int                             // seconds that are over: nothing more is added to them
	seconds  []perSecond

	// Without the warm-up.
	planned, sent, late, waited int64
	unsent                      map[report.Lack]int64
	worst                       time.Duration
	answeredAt                  time.Duration // by the target; 0: never
}

// perSecond counts reservations: in the warm-up those of its shoppers, and after it those of the others.
type perSecond struct {
	planned, sent, late int64
	outcomes            [words]int64
}

func newRecord(shards int, warmUp time.Duration) *record {
	r := &record{warmUp: warmUp, answered: report.NewHistogram()}
	newTally := func() tally { return tally{latency: report.NewHistogram(), codes: map[string]int64{}} }
	for range shards {
		s := &shard{warmUp: warmUp, answered: map[int]*hdrhistogram.Histogram{}, unsent: map[report.Lack]int64{}}
		for c := range s.outcomes {
			for w := range s.outcomes[c] {
				s.outcomes[c][w] = newTally()
			}
		}
		for w := range s.shoppers {
			s.shoppers[w] = newTally()
		}
		r.shards = append(r.shards, s)
	}
	return r
}

// warm reports whether a second belongs to the warm-up.
func warm(second int, warmUp time.Duration) bool { return time.Duration(second)*time.Second < warmUp }

// at returns the counts of a second, or nil if a request does not count in it: a second has reservations only, and a
// late one of the warm-up is in none.
func (s *shard) at(second int, r *request) *perSecond {
	if r.call != reserve || r.visit.WarmUp != warm(second, s.warmUp) {
		return nil
	}
	for len(s.seconds) <= second {
		s.seconds = append(s.seconds, perSecond{})
	}
	return &s.seconds[second]
}

func secondOf(t time.Duration) int { return int(max(0, t) / time.Second) }

// plan notes a request that is to be sent.
func (s *shard) plan(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.at(secondOf(r.planned), r); at != nil {
		at.planned++
	}
	if !r.visit.WarmUp {
		s.planned++
	}
}

// send notes a request that was sent at a time.
func (s *shard) send(r *request, at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	late := at-r.planned > lateAfter
	own := late && (r.free || r.dispatched-r.planned > lateAfter)
	if second := s.at(secondOf(r.planned), r); second != nil {
		second.sent++
		if own {
			second.late++
		}
	}
	if r.visit.WarmUp {
		return
	}
	s.sent++
	s.worst = max(s.worst, at-r.planned)
	switch {
	case own:
		s.late++
	case late:
		s.waited++
	}
}

// leave notes a planned request that is never sent.
func (s *shard) leave(r *request, lack report.Lack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.visit.WarmUp {
		s.unsent[lack]++
	}
}

// end notes what became of a request.
func (s *shard) end(r *request, a *answer, now time.Duration, inTime bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := indexOf(a.word)
	if a.code != codeNoAnswer && a.code != codeGaveUp && a.code != codeNotSent {
		s.answeredAt = now
	}
	second := max(secondOf(now), s.over)
	if at := s.at(second, r); at != nil {
		at.outcomes[w]++
		if s.answered[second] == nil {
			s.answered[second] = report.NewHistogram()
		}
		report.Record(s.answered[second], now-r.planned)
	}
	if r.visit.WarmUp {
		return
	}
	s.outcomes[r.call][w].add(now-r.planned, inTime)
	s.outcomes[r.call][w].code(a.code)
}

// shopper notes how a reservation and its repetitions ended.
func (s *shard) shopper(r *request, inTime bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shoppers[indexOf(r.word)].add(r.answered-r.visit.At, inTime)
}

// roll ends a second.
func (r *record) roll() {
	n, all := len(r.seconds), report.NewHistogram()
	for _, s := range r.shards {
		s.mu.Lock()
		if h := s.answered[n]; h != nil {
			all.Merge(h)
			delete(s.answered, n)
		}
		s.over = n + 1
		s.mu.Unlock()
	}
	if !warm(n, r.warmUp) {
		r.answered.Merge(all)
	}
	r.seconds = append(r.seconds, second{report.Quantile(all, 50), report.Quantile(all, 99)})
}

// second returns a second by its number. Its planned times count, and for outcomes the times of their answers.
func (r *record) second(n int) report.Second {
	s := report.Second{Second: n, WarmUp: warm(n, r.warmUp), Outcomes: map[report.Word]int64{}}
	for _, shard := range r.shards {
		shard.mu.Lock()
		if n < len(shard.seconds) {
			at := &shard.seconds[n]
			s.Planned += at.planned
			s.Sent += at.sent
			s.Late += at.late
			for w, count := range at.outcomes {
				if count > 0 {
					s.Outcomes[report.Words[w]] += count
				}
			}
		}
		shard.mu.Unlock()
	}
	if n < len(r.seconds) {
		s.P50MS, s.P99MS = r.seconds[n].p50MS, r.seconds[n].p99MS
	}
	return s
}

// of sums up the outcomes of a kind of call.
func (r *record) of(c call, length time.Duration) (outcomes []report.Outcome, requests int64) {
	return r.sum(length, func(s *shard) *[words]tally { return &s.outcomes[c] })
}

// ofShoppers sums up how shoppers fared.
func (r *record) ofShoppers(length time.Duration) []report.Outcome {
	outcomes, _ := r.sum(length, func(s *shard) *[words]tally { return &s.shoppers })
	return outcomes
}

// sum adds up tallies. Rates are those of the time while shoppers came: what came after it is no part of them.
func (r *record) sum(length time.Duration, of func(*shard) *[words]tally) (outcomes []report.Outcome, requests int64) {
	for w, word := range report.Words {
		all, codes, inTime := report.NewHistogram(), map[string]int64{}, int64(0)
		for _, s := range r.shards {
			s.mu.Lock()
			t := &of(s)[w]
			all.Merge(t.latency)
			inTime += t.inTime
			for code, n := range t.codes {
				codes[code] += n
			}
			s.mu.Unlock()
		}
		o := report.Outcome{Name: word, Count: all.TotalCount(), Latency: report.LatencyOf(all)}
		if len(codes) > 0 {
			o.Codes = codes
		}
		if length > 0 {
			o.PerSecond = float64(inTime) / length.Seconds()
		}
		requests += o.Count
		outcomes = append(outcomes, o)
	}
	return outcomes, requests
}
