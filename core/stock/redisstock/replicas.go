package redisstock

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// replicaLagMax is how many seconds a replica that keeps up may be silent. Each replica reports every second, but a full
// resynchronization of another one can delay it.
const replicaLagMax = 10

// KeptUp returns how many replicas keep up with a primary, by the primary's answer to INFO: they are online, and have
// reported not long ago. Only a wait shows whether a replica has a certain write.
func KeptUp(info string) int {
	n := 0
	for line := range strings.Lines(info) {
		name, fields, _ := strings.Cut(strings.TrimSpace(line), ":")
		number, isReplica := strings.CutPrefix(name, "slave")
		if _, err := strconv.Atoi(number); !isReplica || err != nil {
			continue
		}
		online, lag := false, replicaLagMax+1
		for field := range strings.SplitSeq(fields, ",") {
			switch key, value, _ := strings.Cut(field, "="); key {
			case "state":
				online = value == "online"
			case "lag":
				if seconds, err := strconv.Atoi(value); err == nil {
					lag = seconds
				}
			}
		}
		if online && lag <= replicaLagMax {
			n++
		}
	}
	return n
}

// ReplicaWarning returns a warning for a person who sets the acknowledge level replica. It names the primaries without a
// replica that keeps up, and says what that means. It is empty if each has one.
func (s *Store) ReplicaWarning(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	primaries, err := primariesOf(ctx, s.client, len(s.partitions))
	if err != nil {
		return "", wrap("look for replicas", err)
	}
	var alone []string
	for _, p := range primaries {
		info, err := p.client.Do(ctx, p.client.B().Info().Section("replication").Build()).ToString()
		if err != nil {
			return "", wrap("look for replicas", err)
		}
		if KeptUp(info) == 0 {
			alone = append(alone, p.String())
		}
	}
	if len(alone) == 0 {
		return "", nil
	}
	return fmt.Sprintf("no replica keeps up with %s: at the acknowledge level replica nothing is sold there until one does",
		strings.Join(alone, ", ")), nil
}

// How long the store believes that a node has a replica that keeps up, and how long that it has none.
const (
	replicaMaxAge     = time.Second
	replicaMissingFor = 200 * time.Millisecond
)

// waiting returns two commands: a small write to a partition, and a WAIT for one replica to have that write. A replica that
// has it also has everything that the server did before. From Redis 7.2 on, and in Valkey, WAIT covers only the last
// write of its own connection. A vector of replays writes nothing, so a WAIT alone would return at once, as if replicas
// had the effects. The write must be one that Redis replicates: it replicates SET always, but not a SETNX or DEL that
// changes nothing.
func (s *Store) waiting(client rueidis.Client, partition int) []rueidis.Completed {
	return []rueidis.Completed{
		client.B().Set().Key(s.partitions[partition].wait).Value("1").Build(),
		client.B().Arbitrary("WAIT", "1", strconv.FormatInt(s.cfg.ReplicaTimeout.Milliseconds(), 10)).Blocking(),
	}
}

// wait is the result of waiting.
type wait struct {
	wrote    error // nil if the write was done; otherwise WAIT covers what the connection wrote before
	replicas int64
	err      error // of the WAIT itself: nobody knows what replicas have
}

func waitFrom(answers []rueidis.RedisResult) wait {
	w := wait{wrote: answers[0].Error()}
	w.replicas, w.err = answers[1].AsInt64()
	return w
}

// full reports whether the server refused the write because its memory is full. Then it takes no units. A script that
// settles reservations still writes, and WAIT covers that.
func (w wait) full() bool {
	refusal, ok := rueidis.IsRedisErr(w.wrote)
	return ok && strings.HasPrefix(refusal.Error(), "OOM ")
}

// replica remembers how the last wait for a replica of a node ended.
type replica struct {
	mu     sync.Mutex
	at     time.Time     // of the last wait
	good   bool          // a replica kept up
	asking chan struct{} // closes when the running wait ends; nil: none runs
}

// saw notes how a wait ended.
func (r *replica) saw(now time.Time, w wait) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.err == nil {
		r.at, r.good = now, w.replicas > 0 && (w.wrote == nil || w.full())
	}
}

// hasReplica reports whether a node has a replica that keeps up. The store asks before it takes units that would not be
// safe without one. Unless the last wait was a moment ago, hasReplica waits for a replica, together with everybody else
// who asks.
func (s *Store) hasReplica(ctx context.Context, n node, partition int) bool {
	r := n.replica
	r.mu.Lock()
	age := s.now().Sub(r.at)
	if r.good && age < replicaMaxAge || !r.good && age < replicaMissingFor {
		defer r.mu.Unlock()
		return r.good
	}
	if r.asking == nil {
		r.asking = make(chan struct{})
		go s.askReplica(ctx, n, partition)
	}
	asking := r.asking
	r.mu.Unlock()

	select {
	case <-asking:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.good && s.now().Sub(r.at) < replicaMaxAge
}

// askReplica waits for a replica of a node. It takes at most half the time of a call, so that the call that waits for it
// has the other half.
func (s *Store) askReplica(ctx context.Context, n node, partition int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.CallTimeout/2+s.cfg.ReplicaTimeout)
	defer cancel()
	waited := waitFrom(n.client.DoMulti(ctx, s.waiting(n.client, partition)...))
	n.replica.saw(s.now(), waited)
	n.replica.mu.Lock()
	defer n.replica.mu.Unlock()
	close(n.replica.asking)
	n.replica.asking = nil
}
