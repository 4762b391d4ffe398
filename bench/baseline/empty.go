package baseline

import (
	"context"
	"net/http"
	"strings"

	"sluice/bench/empty"
	"sluice/core/local"
)

// tokenBytes is about the length of a shopper's token.
const tokenBytes = 270

// emptyAnswer is what an edge answers to a reservation.
var emptyAnswer = empty.Answer{
	Status: http.StatusCreated,
	Header: []string{
		"Content-Type: application/json", "Date: now", "X-Request-Id: d884ebc50000000000000001",
		"Location: /v1/reservations/001c2b9e1ff0b53b61b6c1d4a9e2e0c7",
	},
	Body: `{"reservation_id":"001c2b9e1ff0b53b61b6c1d4a9e2e0c7","sku_id":"1001","quantity":1,"state":"held","expires_at":"2026-01-01T00:15:00.000Z"}`,
}

var emptyWay = Way{
	Name: Empty, Title: "empty fasthttp handler",
	Does:   "The same request, answered with the same bytes as an edge's, by a handler that does nothing else. It sells nothing: it is what HTTP alone costs here.",
	HTTP:   true,
	Buyers: []int{64, 256, 1024},
	Open: func(ctx context.Context, p *Place) (Shop, error) {
		server, err := p.start(ctx, "empty-handler", emptyAnswer.Args()...)
		if err != nil {
			return nil, err
		}
		return &emptyShop{server}, nil
	},
}

type emptyShop struct{ server *local.Program }

// Stock implements Shop.
func (*emptyShop) Stock(context.Context, int64, int64) error { return nil }

// Buyer implements Shop.
func (s *emptyShop) Buyer() (Buyer, error) {
	return newHTTPBuyer(s.server.Addrs[0], []string{strings.Repeat("x", tokenBytes)})
}

// Settle implements Shop.
func (*emptyShop) Settle(context.Context) error { return nil }

// Count implements Shop.
func (*emptyShop) Count(context.Context, int64) ([]Count, error) { return nil, nil }

// Clear implements Shop.
func (*emptyShop) Clear(context.Context, int64) error { return nil }

// Processes implements Shop.
func (s *emptyShop) Processes() map[string]int { return map[string]int{"empty": s.server.PID()} }

// Close implements Shop.
func (*emptyShop) Close() error { return nil }
