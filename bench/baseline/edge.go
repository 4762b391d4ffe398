package baseline

import (
	"context"
	"fmt"
	"time"

	"sluice/core/lifecycle"
	"sluice/core/local"
	"sluice/core/stock"
)

var edgeWay = Way{
	Name: "http", Title: "sluice: HTTP",
	Does:   "POST /v1/reservations to an edge: what the engine does, with tokens, and each event to Kafka. Limits of rate are off, and no persister runs.",
	HTTP:   true,
	Buyers: []int{64, 256, 1024},
	Open: func(ctx context.Context, p *Place) (Shop, error) {
		return openEdge(ctx, p, "http", "SLUICE_RATE_PER_USER=0", "SLUICE_RATE_PER_ADDRESS=0")
	},
}

var everythingWay = Way{
	Name: "everything", Title: "sluice: HTTP, everything on",
	Does:   "The same with limits of rate, and with a persister that brings each event from Kafka to MySQL, publishes what an edge could not, and compares the stores. A turn's CPU counts until MySQL has all of its events.",
	HTTP:   true,
	Buyers: []int{64, 256, 1024},
	Open: func(ctx context.Context, p *Place) (Shop, error) {
		s, err := openEdge(ctx, p, "everything", "SLUICE_RATE_PER_USER=1000000", "SLUICE_BURST_PER_USER=1000000",
			"SLUICE_RATE_PER_ADDRESS=1000000", "SLUICE_BURST_PER_ADDRESS=1000000")
		if err != nil {
			return nil, err
		}
		persister, err := s.service(ctx, "persister")
		if err != nil {
			return nil, err
		}
		return &everythingShop{s, persister}, nil
	},
}

// edgeShop sells through an edge.
type edgeShop struct {
	*sluice
	edge     *local.Program
	shoppers []string // their tokens
}

func openEdge(ctx context.Context, p *Place, name string, settings ...string) (*edgeShop, error) {
	s, err := openSluice(ctx, p, name)
	if err != nil {
		return nil, err
	}
	shop := &edgeShop{sluice: s}
	if shop.edge, err = s.service(ctx, "edge", settings...); err != nil {
		return nil, err
	}
	shop.shoppers, err = s.tokens()
	return shop, err
}

// Processes implements Shop.
func (s *edgeShop) Processes() map[string]int {
	return map[string]int{"edge": s.edge.PID(), "redis": s.redis.PID(), "kafka": s.broker.PID()}
}

// Buyer implements Shop.
func (s *edgeShop) Buyer() (Buyer, error) {
	return newHTTPBuyer(s.edge.Addrs[0], s.shoppers)
}

type everythingShop struct {
	*edgeShop
	persister *local.Program
}

// Processes implements Shop.
func (s *everythingShop) Processes() map[string]int {
	all := s.edgeShop.Processes()
	all["persister"], all["mysql"] = s.persister.PID(), s.mysql.PID()
	return all
}

// settleWithin bounds how long the persister may take for what a turn has sold.
const settleWithin = 5 * time.Minute

// Settle waits until MySQL has all events: then every outbox is empty.
func (s *everythingShop) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	return lifecycle.Poll(ctx, 20*time.Millisecond, func() error {
		stats, err := s.stores.Stock.OutboxStats(ctx)
		if err != nil {
			return err
		}
		left := int64(0)
		for _, stat := range stats {
			left += stat.Entries
		}
		if left > 0 {
			return fmt.Errorf("%d entries of the outbox have not reached MySQL within %v", left, settleWithin)
		}
		return nil
	}, func(error) bool { return false })
}

// Count implements Shop.
func (s *everythingShop) Count(ctx context.Context, sku int64) ([]Count, error) {
	counts, err := s.edgeShop.Count(ctx, sku)
	if err != nil {
		return nil, err
	}
	c := Count{Store: "MySQL"}
	cell := stock.Cell{SKU: sku}
	err = s.stores.DB.QueryRowContext(ctx, `SELECT available_stock, (SELECT COUNT(*) FROM reservations WHERE sku_id = i.sku_id AND pool = i.pool)
		FROM product_inventories i WHERE sku_id = ? AND pool = ? AND bucket = ?`, cell.SKU, cell.Pool, cell.Bucket).Scan(&c.Left, &c.Orders)
	return append(counts, c), err
}

// Clear implements Shop. The persister has cleared the outbox.
func (s *everythingShop) Clear(context.Context, int64) error { return nil }
