package redis

import (
	"context"
	"errors"
	"sync"

	"github.com/redis/rueidis"
)

// Followers are the replicas of a primary that Sentinels name. The client of the primary knows none of them. One goroutine
// uses Followers.
type Followers struct {
	cfg      Config
	replicas map[string]rueidis.Client // by address
}

// NewFollowers knows nobody yet, and has no connection. The caller closes it.
func NewFollowers(cfg Config) *Followers {
	return &Followers{cfg: cfg, replicas: map[string]rueidis.Client{}}
}

// Close ends the connections.
func (f *Followers) Close() { f.keep(nil) }

// Clients asks the Sentinels for the replicas, and returns a client for each that answers. The clients stay connected until
// no Sentinel names their server, or until Close. The error says if no Sentinel answers, or if a replica refuses the user.
func (f *Followers) Clients(ctx context.Context) (map[string]rueidis.Client, error) {
	addrs, err := f.addrs(ctx)
	if err != nil {
		return nil, err
	}
	f.keep(addrs)
	for addr := range f.replicas {
		delete(addrs, addr)
	}
	var lock sync.Mutex
	var connecting sync.WaitGroup
	var refusals []error
	for addr := range addrs {
		connecting.Go(func() {
			client, err := f.cfg.Server(addr)
			lock.Lock()
			defer lock.Unlock()
			var refusal *rueidis.RedisError
			if errors.As(err, &refusal) {
				refusals = append(refusals, err)
			} else if err == nil {
				f.replicas[addr] = client
			}
		})
	}
	connecting.Wait() // not longer than dialTimeout
	return f.replicas, errors.Join(refusals...)
}

// keep closes the clients of all other servers.
func (f *Followers) keep(addrs map[string]bool) {
	for addr, client := range f.replicas {
		if !addrs[addr] {
			client.Close()
			delete(f.replicas, addr)
		}
	}
}

// addrs returns the addresses of all replicas that some Sentinel knows: one that was away may lack the newest.
func (f *Followers) addrs(ctx context.Context) (map[string]bool, error) {
	lists, failures := askSentinels(ctx, &f.cfg, "replicas", f.cfg.Replicas)
	if len(lists) == 0 {
		return nil, errors.Join(failures...)
	}
	addrs := map[string]bool{}
	for _, list := range lists {
		for _, r := range list {
			addrs[r.Addr] = true
		}
	}
	return addrs, nil
}
