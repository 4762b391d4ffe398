package front

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/follow"
	"sluice/core/ids"
)

// Topics of the shop whose events make answers old.
const (
	topicProducts = "sluice.products.v1"
	topicSellers  = "sluice.sellers.v1"
)

// Types of the events that are read. Others are left.
const (
	productChanged  = "product_changed"
	categoryChanged = "category_changed"
	brandChanged    = "brand_changed"
	sellerMoved     = "seller_moved"
)

// listed is the stage in which shoppers see a product.
const listed = "listed"

var errForm = errors.New("it is no event of a known form")

// follow reads a topic from before the oldest answer that any edge may have.
func (f *Front) follow(topic, name string) *follow.Follower {
	return follow.New(follow.Config{
		Brokers: f.cfg.Brokers, Topic: topic, Since: f.cfg.Life + f.cfg.StaleMax + f.cfg.Timeout + sinceBefore,
		Take:    f.take,
		Lost:    f.lost,
		Metric:  func(thing string) string { return `sluice_edge_front_` + thing + `{topic="` + name + `"}` },
		Goal:    "read what changes in the catalog",
		Until:   "answers of the catalog are up to " + f.cfg.Life.String() + " old",
		Metrics: f.cfg.Metrics, Log: f.cfg.Log,
	})
}

// lost makes old what lost events may have made old, and the screen lacks what they told of.
func (f *Front) lost() {
	f.floors.raiseAll(f.nowMS())
	f.screen.doubt()
}

// sinceBefore covers what the clocks of the database, Kafka and edges may differ.
const sinceBefore = time.Minute

// Run follows the events of the catalog and looks after what is kept, until ctx ends.
func (f *Front) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, work := range []func(context.Context){f.products.Run, f.sellers.Run, f.runScreen, f.runHot, f.shared.run} {
		all.Go(func() { work(ctx) })
	}
	all.Wait()
}

// Knows reports whether what the events told before is known.
func (f *Front) Knows() bool { return f.products.Knows() && f.sellers.Knows() }

// take takes an event.
func (f *Front) take(message []byte) error {
	var e struct {
		Type      string         `json:"type"`
		Aggregate string         `json:"aggregate_id"`
		Version   uint64         `json:"version"`
		Data      jsontext.Value `json:"data"`
	}
	if err := json.Unmarshal(message, &e); err != nil || e.Type == "" {
		return errForm
	}
	to := floor{version: e.Version, at: f.nowMS()}
	var ok bool
	switch e.Type {
	case productChanged:
		var data struct {
			Stage string `json:"stage"`
		}
		ok = json.Unmarshal(e.Data, &data) == nil && data.Stage != "" && is[ids.Product](e.Aggregate)
		to.hidden = data.Stage != listed
	case sellerMoved:
		var data struct {
			Listed *bool `json:"products_listed"`
		}
		ok = json.Unmarshal(e.Data, &data) == nil && data.Listed != nil && is[ids.Seller](e.Aggregate)
		to.hidden = ok && !*data.Listed
	case brandChanged:
		ok = is[ids.Brand](e.Aggregate)
	case categoryChanged:
		ok = is[ids.Category](e.Aggregate)
	default:
		return nil
	}
	if !ok || e.Version == 0 {
		return errForm
	}
	if e.Type != sellerMoved {
		f.screen.add(e.Aggregate)
	}
	if f.floors.raise(e.Aggregate, to) {
		switch e.Type {
		case categoryChanged:
			f.floors.raise(tagTree, floor{at: to.at})
		case brandChanged:
			f.floors.raise(tagBrands, floor{at: to.at})
		}
	}
	return nil
}
