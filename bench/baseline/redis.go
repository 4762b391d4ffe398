package baseline

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/rueidis"

	"sluice/core/local"
)

// redisShop keeps the units of a SKU that are left in a string, and its orders in a stream.
type redisShop struct {
	server *local.Redis
	client rueidis.Client
}

// openRedis connects to the Redis of the baselines.
func openRedis(ctx context.Context, p *Place, option func(*rueidis.ClientOption)) (*redisShop, error) {
	server, err := p.Redis(ctx, "baseline")
	if err != nil {
		return nil, err
	}
	o := rueidis.ClientOption{
		InitAddress: []string{server.Addr}, ForceSingleClient: true, DisableCache: true,
		DisableRetry: true, // a purchase that is sent twice is two
	}
	if option != nil {
		option(&o)
	}
	client, err := rueidis.NewClient(o)
	if err != nil {
		return nil, fmt.Errorf("connect to redis: %w", err)
	}
	return &redisShop{server: server, client: client}, nil
}

func stockKey(sku int64) string  { return "stock:" + strconv.FormatInt(sku, 10) }
func ordersKey(sku int64) string { return "orders:" + strconv.FormatInt(sku, 10) }

// Stock implements Shop.
func (s *redisShop) Stock(ctx context.Context, sku, units int64) error {
	return s.client.Do(ctx, s.client.B().Set().Key(stockKey(sku)).Value(strconv.FormatInt(units, 10)).Build()).Error()
}

// Count implements Shop.
func (s *redisShop) Count(ctx context.Context, sku int64) ([]Count, error) {
	left, err1 := s.client.Do(ctx, s.client.B().Get().Key(stockKey(sku)).Build()).AsInt64()
	orders, err2 := s.client.Do(ctx, s.client.B().Xlen().Key(ordersKey(sku)).Build()).AsInt64()
	return []Count{{Store: "Redis", Left: left, Orders: orders}}, errors.Join(err1, err2)
}

// Settle implements Shop.
func (s *redisShop) Settle(context.Context) error { return nil }

// Clear implements Shop.
func (s *redisShop) Clear(ctx context.Context, sku int64) error {
	return s.client.Do(ctx, s.client.B().Del().Key(stockKey(sku), ordersKey(sku)).Build()).Error()
}

// Processes implements Shop.
func (s *redisShop) Processes() map[string]int { return map[string]int{"redis": s.server.PID()} }

// Close implements Shop.
func (s *redisShop) Close() error {
	s.client.Close()
	return nil
}

// addOrder is the command that adds an order to the stream.
func (o *Order) addOrder(b rueidis.Builder) rueidis.Completed {
	return b.Xadd().Key(ordersKey(o.SKU)).Id("*").FieldValue().
		FieldValue("user", strconv.FormatInt(o.User, 10)).FieldValue("number", strconv.FormatInt(o.Number, 10)).Build()
}
