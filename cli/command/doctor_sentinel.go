package command

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"

	"sluice/core/examine"
)

// sentinels checks the Sentinels, which name the primary, and the replicas, one of which may take over one day. It
// returns how many replicas are up.
func (d *Doctor) sentinels(ctx context.Context, e *examination) (up int) {
	said := examine.Sentinels{Given: len(d.Redis.SentinelAddrs)}
	for _, addr := range d.Redis.SentinelAddrs {
		about := "Sentinel " + addr
		client, err := d.Redis.Sentinel(addr)
		if err != nil {
			e.fail(about, err.Error(), "start it, or correct --redis-sentinel-addrs and its password")
			continue
		}
		d.sentinel(ctx, e, about, client, &said)
		client.Close()
	}
	for _, r := range said.Risks() {
		if r.Failure {
			e.fail(r.About, r.Found, r.Do)
		} else {
			e.warn(r.About, r.Found, r.Do)
		}
	}
	replicas := said.Up()
	for _, addr := range replicas {
		d.replica(ctx, e, addr)
	}
	return len(replicas)
}

// sentinel checks one Sentinel, and notes its answers.
func (d *Doctor) sentinel(ctx context.Context, e *examination, about string, client rueidis.Client, said *examine.Sentinels) {
	ask := func(word string) rueidis.RedisResult {
		return client.Do(ctx, client.B().Arbitrary("SENTINEL", word, d.Redis.SentinelMaster).Build())
	}
	primary, err := d.Redis.Primary(ctx, client)
	if rueidis.IsRedisNil(err) {
		e.fail(about, fmt.Sprintf("it watches no %q", d.Redis.SentinelMaster), "correct --redis-sentinel-master, or let it monitor the primary")
		return
	}
	if err != nil {
		e.fail(about, err.Error(), "see whether it answers, and --redis-sentinel-user may use SENTINEL")
		return
	}
	said.Names(primary)
	if quorum, err := ask("CKQUORUM").ToString(); err != nil {
		e.fail(about, err.Error(), "start the other Sentinels: without most of them nothing takes over")
	} else {
		e.ok(about, "it names %s: %s", primary, quorum)
	}
	known, err := d.Redis.Replicas(ctx, client)
	if err != nil {
		e.fail(about, err.Error(), "let the user run SENTINEL REPLICAS")
		return
	}
	for _, r := range known {
		said.Knows(r.Addr, r.Flags)
	}
}

func (d *Doctor) replica(ctx context.Context, e *examination, addr string) {
	about := "Redis replica " + addr
	client, err := d.Redis.Server(addr)
	if err != nil {
		e.fail(about, err.Error(), "let it have the user and password of the primary: it takes over one day")
		return
	}
	defer client.Close()
	redisNode(ctx, e, about, client, true)
}

// isolation checks what a primary does when it is cut off from its replicas.
func isolation(ctx context.Context, e *examination, about string, primary rueidis.Client, replicas int) {
	settings, err := primary.Do(ctx, primary.B().ConfigGet().Parameter("min-replicas-to-write").Build()).AsStrMap()
	if f, wrong := examine.Isolation(settings, replicas); err == nil && wrong {
		e.warn(about, f.Found, f.Do)
	}
}
