// Package sessions follows which sessions of shoppers have ended, so that their tokens are refused within seconds. The shop
// tells of each by an event. Without Kafka the tokens of such a session are taken until they expire, ten minutes at most.
package sessions

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/auth"
	"sluice/core/follow"
	"sluice/core/ids"
)

const (
	// Topic has the events of the shop's users.
	Topic = "sluice.users.v1"
	// TypeEnded is the type of events that tell of sessions. A reader ignores all others.
	TypeEnded = "sessions_ended"
)

// Ended is what such an event has as its data.
type Ended struct {
	Sessions []ids.Session `json:"session_ids"`
}

// sinceBefore is how old the events are that a reader begins with. The clocks of shop, database and reader may differ.
const sinceBefore = auth.EndedFor + auth.Skew

// Config says where the events are, and who remembers the sessions.
type Config struct {
	Brokers []string
	Ended   *auth.Ended
	Service string // which has the metrics: edge or catalog
	Metrics *metrics.Set
	Log     *slog.Logger
}

// New makes a follower of the events and its metrics, and connects to nothing.
func New(cfg Config) *follow.Follower {
	of := "sluice_" + cfg.Service + "_sessions_"
	cfg.Metrics.NewGauge(of+"ended_sessions", func() float64 { return float64(cfg.Ended.Len()) })
	return follow.New(follow.Config{
		Brokers: cfg.Brokers, Topic: Topic, Since: sinceBefore,
		Take: func(message []byte) error {
			ended, err := parse(message)
			for _, session := range ended {
				cfg.Ended.Add(session, time.Now())
			}
			return err
		},
		Metric:  func(thing string) string { return of + thing },
		Goal:    "read which sessions of shoppers have ended",
		Until:   fmt.Sprintf("their tokens are taken until they expire, %v at most", auth.ShopperLifetime),
		Metrics: cfg.Metrics, Log: cfg.Log,
	})
}

// parse returns the sessions that an event tells of, none if it is of another type.
func parse(message []byte) ([]ids.Session, error) {
	var event struct {
		Type string         `json:"type"`
		Data jsontext.Value `json:"data"`
	}
	if err := json.Unmarshal(message, &event); err != nil {
		return nil, errForm
	}
	switch event.Type {
	case "":
		return nil, errForm
	case TypeEnded:
		var data Ended
		if err := json.Unmarshal(event.Data, &data); err != nil || data.Sessions == nil {
			return nil, errForm
		}
		return data.Sessions, nil
	}
	return nil, nil
}

// errForm quotes nothing of a message, which may be anybody's.
var errForm = errors.New("it is no event of a known form")
