package redis

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/redis/rueidis"
)

// askSentinels asks all Sentinels at once, so that one that hangs does not delay the others. It returns the answers, and why
// the others have not answered. what says in an error what they were asked for.
func askSentinels[T any](ctx context.Context, cfg *Config, what string, ask func(context.Context, rueidis.Client) (T, error)) (answers []T, failures []error) {
	ctx, cancel := context.WithTimeout(ctx, hangMax)
	defer cancel()
	var lock sync.Mutex
	var asking sync.WaitGroup
	for _, addr := range cfg.SentinelAddrs {
		asking.Go(func() {
			answer, err := askSentinel(ctx, cfg, addr, ask)
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				failures = append(failures, fmt.Errorf("ask the Sentinel %s for %s: %w", addr, what, err))
				return
			}
			answers = append(answers, answer)
		})
	}
	asking.Wait()
	return answers, failures
}

func askSentinel[T any](ctx context.Context, cfg *Config, addr string, ask func(context.Context, rueidis.Client) (T, error)) (answer T, err error) {
	client, err := cfg.Sentinel(addr)
	if err != nil {
		return answer, err
	}
	defer client.Close()
	return ask(ctx, client)
}

// CheckPrimary fails unless most of the Sentinels in the settings name the server at an address as the primary. A Sentinel that
// is cut off from the others goes on naming the primary that they have replaced. A single Sentinel has nobody to differ from.
func (r *Config) CheckPrimary(ctx context.Context, addr string) error {
	if len(r.SentinelAddrs) < 2 {
		return nil
	}
	named, failures := askSentinels(ctx, r, "the primary", r.Primary)
	wanted := len(r.SentinelAddrs)/2 + 1
	agree := 0
	var said []string
	for _, primary := range named {
		if primary == addr {
			agree++
		} else {
			said = append(said, "one names "+primary)
		}
	}
	if agree >= wanted {
		return nil
	}
	slices.Sort(said)
	for _, failure := range failures {
		said = append(said, failure.Error())
	}
	return fmt.Errorf("%d of %d Sentinels name %s as the primary, and it takes %d: %s", agree, len(r.SentinelAddrs), addr, wanted, strings.Join(said, "; "))
}

// Primary returns the address of the primary that a Sentinel names. The error is a nil of Redis if it watches none of that name.
func (r *Config) Primary(ctx context.Context, sentinel rueidis.Client) (addr string, err error) {
	named, err := sentinel.Do(ctx, sentinel.B().Arbitrary("SENTINEL", "GET-MASTER-ADDR-BY-NAME", r.SentinelMaster).Build()).AsStrSlice()
	if err == nil && len(named) != 2 {
		err = rueidis.Nil
	}
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(named[0], named[1]), nil
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
