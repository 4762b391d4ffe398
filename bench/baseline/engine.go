package baseline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/lifecycle"
	"sluice/core/stock"
	"sluice/edge/batch"
	"sluice/edge/cells"
)

var engineWay = Way{
	Name: "engine", Title: "sluice: the engine",
	Does:   "The edge's batcher and scripts without HTTP and Kafka: a hold with a deadline, a limit per user, replay of repeated requests, an event in the outbox.",
	Buyers: []int{64, 256, 1024},
	Open: func(ctx context.Context, p *Place) (Shop, error) {
		s, err := openSluice(ctx, p, "engine")
		if err != nil {
			return nil, err
		}
		known := cells.New(s.stores.Stock, cells.Config{CallTimeout: callTimeout}, metrics.NewSet())
		return &engineShop{
			sluice: s, known: known,
			batcher: batch.New(s.stores.Stock, known, nobody{}, batch.Config{CallTimeout: callTimeout}, metrics.NewSet()),
		}, nil
	},
}

type engineShop struct {
	*sluice
	known   *cells.Cache
	batcher *batch.Batcher
}

// Processes implements Shop.
func (s *engineShop) Processes() map[string]int { return map[string]int{"redis": s.redis.PID()} }

// Buyer implements Shop.
func (s *engineShop) Buyer() (Buyer, error) { return engineBuyer{s.batcher}, nil }

// Close implements Shop.
func (s *engineShop) Close() error {
	err := s.batcher.Drain(context.Background())
	s.known.Close()
	return errors.Join(err, s.sluice.Close())
}

type engineBuyer struct{ batcher *batch.Batcher }

// Buy implements Buyer. A buyer who is shed tries again, with the same id.
func (b engineBuyer) Buy(ctx context.Context, o Order) (bool, error) {
	cell := stock.Cell{SKU: o.SKU}
	who := stock.Identity{User: o.User, Route: stock.OpReserve, Cell: cell, Key: strconv.FormatInt(o.Number, 10)}
	request := stock.Request{ID: who.ID(partitions), Cell: cell, User: o.User, Quantity: 1, Fingerprint: stock.FingerprintOf(1)}
	for {
		//nolint:contextcheck // the batcher bounds its calls by itself, as in an edge
		result, err := b.batcher.Do(stock.OpReserve, request)
		switch {
		case errors.Is(err, batch.ErrFull):
		case err != nil:
			return false, err
		case result.Verdict == stock.VerdictOK:
			return true, nil
		case result.Verdict == stock.VerdictSoldOut:
			return false, nil
		default:
			return false, fmt.Errorf("verdict %v", result.Verdict)
		}
		if !lifecycle.Pause(ctx, rand.N(shedPause)) {
			return false, ErrEnded
		}
	}
}

// Close implements Buyer.
func (engineBuyer) Close() {}

// nobody is a publisher who publishes nothing.
type nobody struct{}

// Publish implements batch.Publisher.
func (nobody) Publish(stock.Entry) bool { return true }

// PublishWait implements batch.Publisher.
func (nobody) PublishWait(stock.Entry, func(error)) bool { return false }
