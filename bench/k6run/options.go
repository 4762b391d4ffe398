package k6run

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// options are what a script exports under that name.
type options struct {
	Scenarios         map[string]*scenario `json:"scenarios"`
	Thresholds        thresholdTexts       `json:"thresholds"`
	SummaryTrendStats []string             `json:"summaryTrendStats"`
	SetupTimeout      span                 `json:"setupTimeout"`
	TeardownTimeout   span                 `json:"teardownTimeout"`
}

// thresholdTexts are the expressions for each metric.
type thresholdTexts map[string][]string

// UnmarshalJSON reads them. Objects in their place would say when to end the run early.
func (t *thresholdTexts) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, (*map[string][]string)(t)); err != nil {
		return errors.New("thresholds: this stand-in takes lists of expressions, and has no abortOnFail")
	}
	return nil
}

// span is a duration as k6 writes it: a text with units.
type span time.Duration

// UnmarshalJSON reads a text.
func (s *span) UnmarshalJSON(text []byte) error {
	var word string
	if err := json.Unmarshal(text, &word); err != nil {
		return err
	}
	d, err := time.ParseDuration(word)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no duration, such as 30s", word)
	}
	*s = span(d)
	return nil
}

// The executors: those whose arrivals do not wait for answers.
const (
	constantRate = "constant-arrival-rate"
	rampingRate  = "ramping-arrival-rate"
)

// membersOf has the options of each executor, beside those that all have.
var membersOf = map[string][]string{
	constantRate: {"rate", "timeUnit", "duration", "preAllocatedVUs", "maxVUs"},
	rampingRate:  {"startRate", "timeUnit", "stages", "preAllocatedVUs", "maxVUs"},
}

var commonMembers = []string{"executor", "exec", "startTime", "gracefulStop", "tags"}

// scenario says who runs which function, how often and when.
type scenario struct {
	Executor        string            `json:"executor"`
	Exec            string            `json:"exec"`
	StartTime       span              `json:"startTime"`
	GracefulStop    *span             `json:"gracefulStop"`
	Tags            map[string]string `json:"tags"`
	Rate            int64             `json:"rate"`
	StartRate       int64             `json:"startRate"`
	TimeUnit        span              `json:"timeUnit"`
	Duration        span              `json:"duration"`
	Stages          []stage           `json:"stages"`
	PreAllocatedVUs int64             `json:"preAllocatedVUs"`
	MaxVUs          int64             `json:"maxVUs"`

	name string
}

// stage is a part of a ramp: the rate goes to the target in its duration.
type stage struct {
	Duration span  `json:"duration"`
	Target   int64 `json:"target"`
}

const vusMax = 10_000

// parseOptions reads options, fills in defaults, and refuses what is not known here.
func parseOptions(text []byte) (*options, error) {
	var raw struct {
		Scenarios map[string]map[string]jsontext.Value `json:"scenarios"`
	}
	o := &options{SummaryTrendStats: []string{"avg", "min", "med", "max", "p(90)", "p(95)"}, SetupTimeout: span(time.Minute), TeardownTimeout: span(time.Minute)}
	if err := errors.Join(json.Unmarshal(text, &raw), json.Unmarshal(text, o, json.RejectUnknownMembers(true))); err != nil {
		return nil, fmt.Errorf("options, for this stand-in: %w", err)
	}
	if len(o.Scenarios) == 0 {
		return nil, errors.New("options have no scenarios, which this stand-in needs")
	}
	for name, s := range o.Scenarios {
		if err := s.fill(name, slices.Collect(maps.Keys(raw.Scenarios[name]))); err != nil {
			return nil, fmt.Errorf("scenario %s: %w", name, err)
		}
	}
	for _, stat := range o.SummaryTrendStats {
		if stat != "count" && !aggregates[trend](stat) {
			return nil, fmt.Errorf("summaryTrendStats: %q is not known", stat)
		}
	}
	return o, nil
}

func (s *scenario) fill(name string, members []string) error {
	s.name = name
	own, known := membersOf[s.Executor]
	if !known {
		return fmt.Errorf("executor %q: this stand-in has %s", s.Executor, strings.Join(slices.Sorted(maps.Keys(membersOf)), ", "))
	}
	for _, member := range members {
		if !slices.Contains(own, member) && !slices.Contains(commonMembers, member) {
			return fmt.Errorf("%s has no %s", s.Executor, member)
		}
	}
	s.Exec = cmp.Or(s.Exec, "default")
	s.TimeUnit = cmp.Or(s.TimeUnit, span(time.Second))
	if s.GracefulStop == nil {
		s.GracefulStop = new(span)
		*s.GracefulStop = span(30 * time.Second)
	}
	s.MaxVUs = cmp.Or(s.MaxVUs, s.PreAllocatedVUs)
	return s.check()
}

func (s *scenario) check() error {
	switch {
	case s.PreAllocatedVUs < 1 || s.MaxVUs < s.PreAllocatedVUs:
		return errors.New("preAllocatedVUs is missing, or more than maxVUs")
	case s.Executor == constantRate && (s.Rate < 1 || s.Duration <= 0):
		return errors.New("rate or duration is missing")
	case s.Executor == rampingRate && (len(s.Stages) == 0 || s.StartRate < 0):
		return errors.New("stages are missing")
	case s.MaxVUs > vusMax:
		return fmt.Errorf("maxVUs: this stand-in has %d at the most", vusMax)
	}
	if s.Executor == rampingRate {
		for _, part := range s.Stages {
			if part.Target < 0 {
				return errors.New("a stage has a negative target")
			}
			s.Duration += part.Duration
		}
	}
	return nil
}
