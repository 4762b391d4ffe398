package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// addrs returns the addresses of all replicas that some Sentinel knows: one that was away may lack the newest. It asks all
// at once, so that one that hangs does not delay the others.
func (f *Followers) addrs(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, hangMax)
	defer cancel()
	var lock sync.Mutex
	var asking sync.WaitGroup
	addrs, answered := map[string]bool{}, false
	var failures []error
	for _, sentinel := range f.cfg.SentinelAddrs {
		asking.Go(func() {
			known, err := f.ask(ctx, sentinel)
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				failures = append(failures, fmt.Errorf("ask the Sentinel %s for replicas: %w", sentinel, err))
				return
			}
			answered = true
			for _, r := range known {
				addrs[r.Addr] = true
			}
		})
	}
	asking.Wait()
	if !answered {
		return nil, errors.Join(failures...)
	}
	return addrs, nil
}

// ask returns the replicas that one Sentinel knows.
func (f *Followers) ask(ctx context.Context, sentinel string) ([]Replica, error) {
	client, err := f.cfg.Sentinel(sentinel)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return f.cfg.Replicas(ctx, client)
}

// Replica is a replica as a Sentinel knows it.
type Replica struct{ Addr, Flags string }

// Replicas returns the replicas that a Sentinel knows.
func (r *Config) Replicas(ctx context.Context, sentinel rueidis.Client) ([]Replica, error) {
	known, err := sentinel.Do(ctx, sentinel.B().Arbitrary("SENTINEL", "REPLICAS", r.SentinelMaster).Build()).ToArray()
	if err != nil {
		return nil, err
	}
	var replicas []Replica
	for _, replica := range known {
		fields, err := replica.AsStrMap()
		if err != nil {
			return nil, err
		}
		replicas = append(replicas, Replica{net.JoinHostPort(fields["ip"], fields["port"]), fields["flags"]})
	}
	return replicas, nil
}
