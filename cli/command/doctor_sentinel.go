package command

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/redis/rueidis"

	"sluice/core/examine"
)

// sentinels checks the Sentinels, which name the primary, and the replicas, one of which may take over one day. It
// returns how many replicas are up.
func (d *Doctor) sentinels(ctx context.Context, e *examination) (up int) {
	var primaries []string          // each primary that a Sentinel names
	replicas := map[string]string{} // flags by address
	for _, addr := range d.Redis.SentinelAddrs {
		about := "Sentinel " + addr
		client, err := d.Redis.Sentinel(addr)
		if err != nil {
			e.fail(about, err.Error(), "start it, or correct --redis-sentinel-addrs and its password")
			continue
		}
		if primary := d.sentinel(ctx, e, about, client, replicas); primary != "" && !slices.Contains(primaries, primary) {
			primaries = append(primaries, primary)
		}
		client.Close()
	}
	if len(d.Redis.SentinelAddrs) < 3 {
		e.warn("Sentinels", fmt.Sprintf("only %d are given: while they are away nobody names the primary", len(d.Redis.SentinelAddrs)),
			"run three or more on different machines, and give all in --redis-sentinel-addrs")
	}
	if len(primaries) > 1 {
		e.fail("Sentinels", "they name different primaries: "+strings.Join(primaries, ", "), "see whether a failover is under way, or a Sentinel cut off")
	}
	for addr, flags := range replicas {
		if strings.Contains(flags, "down") || strings.Contains(flags, "disconnected") {
			e.warn("Redis replica "+addr, "the Sentinels find it "+flags, "start it, or let the Sentinels forget it by SENTINEL RESET")
			continue
		}
		up++
		d.replica(ctx, e, addr)
	}
	if up == 0 && len(primaries) > 0 {
		e.warn("Sentinels", "the primary has no replica that is up: nothing can take over", "start a replica")
	}
	return up
}

// sentinel checks one Sentinel, and returns the address of the primary that it names.
func (d *Doctor) sentinel(ctx context.Context, e *examination, about string, client rueidis.Client, replicas map[string]string) string {
	ask := func(word string) rueidis.RedisResult {
		return client.Do(ctx, client.B().Arbitrary("SENTINEL", word, d.Redis.SentinelMaster).Build())
	}
	named, err := ask("GET-MASTER-ADDR-BY-NAME").AsStrSlice()
	if rueidis.IsRedisNil(err) || err == nil && len(named) != 2 {
		e.fail(about, fmt.Sprintf("it watches no %q", d.Redis.SentinelMaster), "correct --redis-sentinel-master, or let it monitor the primary")
		return ""
	}
	if err != nil {
		e.fail(about, err.Error(), "see whether it answers, and --redis-sentinel-user may use SENTINEL")
		return ""
	}
	primary := net.JoinHostPort(named[0], named[1])
	if quorum, err := ask("CKQUORUM").ToString(); err != nil {
		e.fail(about, err.Error(), "start the other Sentinels: without most of them nothing takes over")
	} else {
		e.ok(about, "it names %s: %s", primary, quorum)
	}
	known, err := ask("REPLICAS").ToArray()
	if err != nil {
		e.fail(about, err.Error(), "let the user run SENTINEL REPLICAS")
		return primary
	}
	for _, replica := range known {
		if fields, err := replica.AsStrMap(); err == nil {
			addr := net.JoinHostPort(fields["ip"], fields["port"])
			if replicas[addr] == "" || strings.Contains(fields["flags"], "down") {
				replicas[addr] = fields["flags"]
			}
		}
	}
	return primary
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
