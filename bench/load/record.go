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
	shards []*shard

	// Of the collector alone.
	seconds  []second                // that are over
	answered *hdrhistogram.Histogram // in these, without the warm-up
}

type second struct{ p50MS, p99MS float64 }

type shard struct {
	mu       sync.Mutex
	outcomes [calls][words]*hdrhistogram.Histogram // without the warm-up
	codes    [calls][words]map[string]int64
	answered *hdrhistogram.Histogram // since the last second
	seconds  []perSecond

	planned, sent, late, waited, unsent int64 // without the warm-up
	worst                               time.Duration
	answeredAt                          time.Duration // by the target; 0: never
}

type perSecond struct {
	planned, sent, late int64
	outcomes            [words]int64
}

func newRecord(shards int) *record {
	r := &record{answered: report.NewHistogram()}
	for range shards {
		s := &shard{answered: report.NewHistogram()}
		for c := range s.outcomes {
			for w := range s.outcomes[c] {
				s.outcomes[c][w] = report.NewHistogram()
				s.codes[c][w] = map[string]int64{}
			}
		}
		r.shards = append(r.shards, s)
	}
	return r
}

// at returns the counts of the second of a time.
func (s *shard) at(t time.Duration) *perSecond {
	n := int(max(0, t) / time.Second)
	for len(s.seconds) <= n {
		s.seconds = append(s.seconds, perSecond{})
	}
	return &s.seconds[n]
}

// plan notes a request that is to be sent.
func (s *shard) plan(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at(r.planned).planned++
	if !r.visit.WarmUp {
		s.planned++
	}
}

// send notes a request that is sent now.
func (s *shard) send(r *request, now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	late := now-r.planned > lateAfter
	own := late && (r.free || r.dispatched-r.planned > lateAfter)
	at := s.at(r.planned)
	at.sent++
	if own {
		at.late++
	}
	if r.visit.WarmUp {
		return
	}
	s.sent++
	s.worst = max(s.worst, now-r.planned)
	switch {
	case own:
		s.late++
	case late:
		s.waited++
	}
}

// leave notes a request that is never sent.
func (s *shard) leave(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.visit.WarmUp {
		s.unsent++
	}
}

// end notes what became of a request.
func (s *shard) end(r *request, a *answer, now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := indexOf(a.word)
	if a.code != codeNoAnswer && a.code != codeGaveUp && a.code != codeNotSent {
		s.answeredAt = now
	}
	s.at(now).outcomes[w]++
	report.Record(s.answered, now-r.planned)
	if r.visit.WarmUp {
		return
	}
	report.Record(s.outcomes[r.call][w], now-r.planned)
	if a.code != "" {
		codes := s.codes[r.call][w]
		if _, known := codes[a.code]; !known && len(codes) >= codesMax {
			a.code = "other"
		}
		codes[a.code]++
	}
}

// roll ends a second.
func (r *record) roll(warmUp time.Duration) {
	all := report.NewHistogram()
	for _, s := range r.shards {
		s.mu.Lock()
		all.Merge(s.answered)
		s.answered.Reset()
		s.mu.Unlock()
	}
	if time.Duration(len(r.seconds))*time.Second >= warmUp {
		r.answered.Merge(all)
	}
	r.seconds = append(r.seconds, second{report.Quantile(all, 50), report.Quantile(all, 99)})
}

// second returns a second by its number. Its planned times count, and for outcomes the times of their answers.
func (r *record) second(n int, warmUp time.Duration) report.Second {
	s := report.Second{Second: n, WarmUp: time.Duration(n)*time.Second < warmUp, Outcomes: map[report.Word]int64{}}
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
func (r *record) of(c call, measured time.Duration) (outcomes []report.Outcome, requests int64) {
	for w, word := range report.Words {
		all, codes := report.NewHistogram(), map[string]int64{}
		for _, s := range r.shards {
			s.mu.Lock()
			all.Merge(s.outcomes[c][w])
			for code, n := range s.codes[c][w] {
				codes[code] += n
			}
			s.mu.Unlock()
		}
		o := report.Outcome{Name: word, Count: all.TotalCount(), Latency: report.LatencyOf(all)}
		if len(codes) > 0 {
			o.Codes = codes
		}
		if measured > 0 {
			o.PerSecond = float64(o.Count) / measured.Seconds()
		}
		requests += o.Count
		outcomes = append(outcomes, o)
	}
	return outcomes, requests
}
