package front

import (
	"context"
	"crypto/tls"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/redis/rueidis"

	"sluice/core/config"
	"sluice/core/lifecycle"
	"sluice/core/redis"
)

const (
	sharedPrefix = "sluice:front:"
	// sharedWaiting is how many answers wait for the cache's Redis. Further ones do not get there.
	sharedWaiting = 1024
	// sharedAway is how long a Redis that failed is left alone.
	sharedAway = time.Second
)

// shared is the cache's Redis: what one edge has asked for, others need not. It may lose anything at any time.
type shared struct {
	cfg     *Config
	log     *lifecycle.Troubles
	client  atomic.Pointer[rueidis.Client]
	away    atomic.Int64 // until then, in Unix ms
	waiting chan *Answer

	failures, dropped *metrics.Counter
}

func newShared(parts *Parts) *shared {
	s := &shared{
		cfg: &parts.Config, log: lifecycle.NewTroubles(parts.Log, "use the Redis of the cache", "server", 1), waiting: make(chan *Answer, sharedWaiting),
		failures: parts.Metrics.NewCounter("sluice_edge_front_redis_failures_total"),
		dropped:  parts.Metrics.NewCounter("sluice_edge_front_redis_dropped_answers_total"),
	}
	return s
}

// run connects, and writes what waits, until ctx ends.
func (s *shared) run(ctx context.Context) {
	if len(s.cfg.Redis) == 0 {
		return
	}
	client := s.connected(ctx)
	if client == nil {
		return
	}
	defer client.Close()
	for {
		select {
		case <-ctx.Done():
			s.client.Store(nil)
			return
		case a := <-s.waiting:
			s.write(ctx, a)
		}
	}
}

// connected returns the client once Redis answers, or nil if ctx ends.
func (s *shared) connected(ctx context.Context) rueidis.Client {
	for {
		client, err := s.connect()
		if err == nil {
			s.client.Store(&client)
			return client
		}
		s.log.Saw(0, err)
		if !lifecycle.Pause(ctx, sharedAway) {
			return nil
		}
	}
}

func (s *shared) connect() (rueidis.Client, error) {
	password, err := config.Secret("").FromFile("cache-redis-password-file", s.cfg.RedisPasswordFile)
	var ca *tls.Config
	if err == nil {
		ca, err = config.ClientTLS("cache-redis-tls-ca-file", s.cfg.RedisCAFile)
	}
	if err != nil {
		return nil, err
	}
	options := redis.Options(s.cfg.Redis, s.cfg.RedisUser, password.Reveal())
	options.TLSConfig = ca
	options.ConnWriteTimeout = max(time.Second, s.cfg.RedisTimeout)
	return rueidis.NewClient(options)
}

// ready returns the client, unless Redis has just failed.
func (s *shared) ready() rueidis.Client {
	client := s.client.Load()
	if client == nil || time.Now().UnixMilli() < s.away.Load() {
		return nil
	}
	return *client
}

func (s *shared) saw(err error) {
	if rueidis.IsRedisNil(err) {
		err = nil
	}
	if err != nil {
		s.failures.Inc()
		s.away.Store(time.Now().Add(sharedAway).UnixMilli())
	}
	s.log.Saw(0, err)
}

func sharedKey(target string) string {
	return sharedPrefix + strconv.Itoa(recordVersion) + ":" + target
}

// get returns what another edge has asked for.
func (s *shared) get(ctx context.Context, target string) (*Answer, bool) {
	client := s.ready()
	if client == nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RedisTimeout)
	defer cancel()
	data, err := client.Do(ctx, client.B().Get().Key(sharedKey(target)).Build()).AsBytes()
	s.saw(err)
	if err != nil {
		return nil, false
	}
	return unrecord(target, data)
}

// offer has an answer written for the other edges. Nobody waits for it.
func (s *shared) offer(a *Answer) {
	if s.ready() == nil {
		return
	}
	select {
	case s.waiting <- a:
	default:
		s.dropped.Inc()
	}
}

func (s *shared) write(ctx context.Context, a *Answer) {
	client, left := s.ready(), a.until-time.Now().UnixMilli()
	if client == nil || left < 1 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RedisTimeout)
	defer cancel()
	s.saw(client.Do(ctx, client.B().Set().Key(sharedKey(a.target)).Value(rueidis.BinaryString(a.record())).PxMilliseconds(left).Build()).Error())
}
