package baseline

import (
	"context"
	"strconv"

	"github.com/redis/rueidis"
)

// buyScript is the script that most articles about flash sales end with: look, take, write the order down. It knows neither
// limits, nor repeated requests, nor holds.
const buyScript = `
local left = tonumber(redis.call('GET', KEYS[1]))
if not left or left < 1 then return 0 end
redis.call('DECR', KEYS[1])
redis.call('XADD', KEYS[2], '*', 'user', ARGV[1], 'number', ARGV[2])
return 1`

var scriptWay = Way{
	Name: "evalsha", Title: "EVALSHA per request",
	Does:   "One call of a lean script on a connection of its own: GET, DECR, XADD of the order.",
	Buyers: []int{16, 64, 256},
	Open: func(ctx context.Context, p *Place) (Shop, error) {
		return openScript(ctx, p, func(o *rueidis.ClientOption) {
			o.DisableAutoPipelining = true
			o.BlockingPoolSize = 256
		})
	},
}

var scriptPipelinedWay = Way{
	Name: "evalsha-pipelined", Title: "EVALSHA, pipelined",
	Does:   "The same script. The client sends the calls of all buyers through few connections, many at once.",
	Buyers: []int{64, 256, 1024, 2048},
	Open: func(ctx context.Context, p *Place) (Shop, error) {
		return openScript(ctx, p, nil) // rueidis pipelines by itself
	},
}

type scriptShop struct {
	*redisShop
	script *rueidis.Lua
}

func openScript(ctx context.Context, p *Place, option func(*rueidis.ClientOption)) (Shop, error) {
	s, err := openRedis(ctx, p, option)
	if err != nil {
		return nil, err
	}
	return &scriptShop{redisShop: s, script: rueidis.NewLuaScript(buyScript)}, nil
}

// Buyer implements Shop. All buyers share the client.
func (s *scriptShop) Buyer() (Buyer, error) { return scriptBuyer{s}, nil }

type scriptBuyer struct{ shop *scriptShop }

// Buy implements Buyer.
func (b scriptBuyer) Buy(ctx context.Context, o Order) (bool, error) {
	took, err := b.shop.script.Exec(context.WithoutCancel(ctx), b.shop.client,
		[]string{stockKey(o.SKU), ordersKey(o.SKU)},
		[]string{strconv.FormatInt(o.User, 10), strconv.FormatInt(o.Number, 10)}).AsInt64()
	return took == 1, err
}

// Close implements Buyer.
func (scriptBuyer) Close() {}
