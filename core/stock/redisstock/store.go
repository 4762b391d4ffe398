// Package redisstock is stock.Store in Redis. It owns the names of all keys and the layout of all
// packed values (docs/redis-keys.md), and is the only caller of the scripts in package lua.
//
// It sends EVALSHA, except for upkeep (scripts.go), and never loads a script on the way. A server without a script has
// restarted or was promoted, and may have lost acknowledged effects. Open vets such a server and loads the scripts
// last. So loaded scripts are the sign that a server may sell.
package redisstock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/redis/rueidis"

	"sluice/core/event"
	"sluice/core/stock"
	"sluice/lua"
)

// Config is the settings of a Store.
type Config struct {
	// Partitions is the number of partitions of the deployment, 1 to 65536. Required.
	Partitions int
	// Retention is how long Redis keeps the record of a finished reservation. Defaults to stock.RetentionDefault. Raising it
	// costs about 165 bytes of Redis memory per reservation that ends within it.
	Retention time.Duration
	// OutboxEntriesMax is the number of outbox entries of a partition at which scripts begin to refuse reserves and
	// deducts. Defaults to stock.OutboxEntriesDefault. Raising it costs up to 12 KB of Redis memory an entry.
	OutboxEntriesMax int64
	// CallTimeout bounds one call. Defaults to stock.CallTimeoutDefault. Raising it lets requests wait longer for a server
	// that hangs.
	CallTimeout time.Duration
	// ReplicaTimeout bounds the wait for a replica. Defaults to stock.ReplicaTimeoutDefault. Raising it delays answers for
	// longer while replicas lag.
	ReplicaTimeout time.Duration
	// Ack is the level of cells that did not choose one. Defaults to redis.
	Ack stock.Ack
	// Metrics receives the store's metrics. Defaults to a set of its own that nobody reads.
	Metrics *metrics.Set

	scripts version
}

func (c *Config) setDefaults() {
	if c.Retention == 0 {
		c.Retention = stock.RetentionDefault
	}
	if c.OutboxEntriesMax == 0 {
		c.OutboxEntriesMax = stock.OutboxEntriesDefault
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = stock.CallTimeoutDefault
	}
	if c.ReplicaTimeout == 0 {
		c.ReplicaTimeout = stock.ReplicaTimeoutDefault
	}
	c.Ack = c.Ack.Or(stock.AckRedis)
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
}

// Validate reports all faults at once. Zero is the default, except for Partitions.
func (c Config) Validate() error {
	var faults []error
	if c.Partitions < 1 || c.Partitions > 1<<16 {
		faults = append(faults, fmt.Errorf("partitions is %d, want 1 to %d", c.Partitions, 1<<16))
	}
	if c.OutboxEntriesMax < 0 {
		faults = append(faults, fmt.Errorf("outbox entries max is %d, want at least 0", c.OutboxEntriesMax))
	}
	for name, d := range map[string]time.Duration{
		"retention": c.Retention, "call timeout": c.CallTimeout, "replica timeout": c.ReplicaTimeout,
	} {
		if d != 0 && d < time.Millisecond {
			faults = append(faults, fmt.Errorf("%s is %v, want at least 1ms", name, d))
		}
	}
	return errors.Join(faults...)
}

// Store is stock.Store in Redis, on one server, with replicas, or on a cluster.
type Store struct {
	client     rueidis.Client
	cfg        Config
	texts      []lua.Script
	scripts    map[string]*script
	upkeep     upkeep
	partitions []partition
	marks      marks
	seen       atomic.Pointer[sighting]
	nodes      nodes
	calls      sync.Pool // of *call
	now        func() time.Time

	outboxMax, retentionMS, unproven string // as arguments
}

// partition has the data that all calls of one partition need.
type partition struct {
	keys
	head string // of its events: version and partition
}

// script is one script and its metrics.
type script struct {
	lua.Script
	*scriptMetrics
}

var _ stock.Store = (*Store)(nil)

// allScripts are the scripts of package lua, unless a test has seeded a bug in them.
var allScripts = lua.All

// version says which scripts a store calls and loads. Nil means those of this program.
type version func() ([]lua.Script, error)

func (v version) load() ([]lua.Script, error) {
	if v == nil {
		return allScripts()
	}
	return v()
}

// New makes a Store. It sends nothing. The caller closes the client.
func New(client rueidis.Client, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure stock in redis: %w", err)
	}
	cfg.setDefaults()
	all, err := cfg.scripts.load()
	if err != nil {
		return nil, err
	}
	upkeep, err := loadUpkeep()
	if err != nil {
		return nil, err
	}
	s := &Store{
		upkeep:      upkeep,
		client:      client,
		cfg:         cfg,
		texts:       all,
		scripts:     make(map[string]*script, len(all)),
		partitions:  make([]partition, cfg.Partitions),
		marks:       newMarks(cfg.Partitions),
		now:         time.Now,
		outboxMax:   strconv.FormatInt(cfg.OutboxEntriesMax, 10),
		unproven:    unproven(cfg.Ack),
		retentionMS: strconv.FormatInt(cfg.Retention.Milliseconds(), 10),
	}
	for _, loaded := range all {
		if loaded.Name == signScript {
			continue // nobody calls it
		}
		s.scripts[loaded.Name] = &script{Script: loaded, scriptMetrics: newScriptMetrics(cfg.Metrics, loaded.Name)}
	}
	for p := range s.partitions {
		s.partitions[p] = partition{keys: keysOf(p), head: string([]byte{event.VersionOldest, byte(p >> 8), byte(p)})}
	}
	s.showState(cfg.Metrics)
	s.calls.New = func() any { return newCall() }
	return s, nil
}

// Partitions is the number of partitions of the deployment.
func (s *Store) Partitions() int { return len(s.partitions) }

// Retention is how long the record of a finished reservation is kept.
func (s *Store) Retention() time.Duration { return s.cfg.Retention }

func (s *Store) checkPartition(partition int) error {
	if partition < 0 || partition >= len(s.partitions) {
		return fmt.Errorf("%w: partition %d of %d", stock.ErrProtocol, partition, len(s.partitions))
	}
	return nil
}

// within makes a call about one partition, within the time of a call. It fails if there is no such partition.
func (s *Store) within(ctx context.Context, partition int, call func(ctx context.Context, k *keys) error) error {
	if err := s.checkPartition(partition); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	return call(ctx, &s.partitions[partition].keys)
}

// Ping asks whether Redis answers. Any node of a cluster may answer, because one that hangs does not stop the others.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	servers := map[string]rueidis.Client{"": s.client}
	if s.client.Mode() == rueidis.ClientModeCluster {
		servers = s.client.Nodes()
	}
	answers := make(chan error, len(servers))
	for _, server := range servers {
		go func() { answers <- server.Do(ctx, server.B().Ping().Build()).Error() }()
	}
	err := errNoNode
	for range servers {
		select {
		case err = <-answers:
		case <-ctx.Done(): // the client may take longer, where it is about to connect
			err = ctx.Err()
		}
		if err == nil {
			return nil
		}
	}
	return wrap("ping redis", err)
}

// eval calls one script about a partition, and returns the elements of its answer. It fails if there are too few.
func (s *Store) eval(ctx context.Context, name string, partition int, trusted stock.Mark, keys, args []string, elements int) ([]rueidis.RedisMessage, error) {
	if ctx.Err() != nil {
		return nil, notSent(ctx, name)
	}
	if trusted.Nonce == 0 {
		return nil, untrusted(name)
	}
	sc := s.scripts[name]
	started := s.now()
	reply, err := s.client.Do(ctx, s.evalsha(sc, partition, string(appendMark(nil, trusted)), keys, args)).ToArray()
	if err != nil {
		err = wrap(name, err)
	} else if len(reply) < elements {
		err = wrapProtocol(name, elementsError(len(reply)))
	}
	sc.called(s.now().Sub(started), err)
	return reply, err
}

// evalsha makes the command that calls a script. Every script has the key of the partition's mark and the mark that the
// caller trusts first; evalsha adds them.
func (s *Store) evalsha(sc *script, partition int, trusted string, keys, args []string) rueidis.Completed {
	return s.client.B().Evalsha().Sha1(sc.SHA1).Numkeys(int64(1 + len(keys))).
		Key(s.partitions[partition].mark).Key(keys...).Arg(trusted).Arg(args...).Build()
}

// Do decides the vectors, in one pipeline per Redis node. See stock.Store.
func (s *Store) Do(ctx context.Context, vectors ...*stock.Vector) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout(vectors))
	defer cancel()

	var plain []*stock.Vector
	var waiting map[node][]*stock.Vector // for a replica
	for _, v := range vectors {
		v.Outcomes, v.Cells, v.Entry, v.TimeMS = v.Outcomes[:0], v.Cells[:0], stock.Entry{}, 0
		v.Replicated, v.NoReplica, v.Mark = false, false, stock.Mark{}
		if v.Err = v.Check(len(s.partitions)); v.Err != nil {
			continue
		}
		if v.Err = s.trusts(v); v.Err != nil {
			continue
		}
		if !v.Replicate {
			plain = append(plain, v)
			continue
		}
		to, err := s.nodes.of(ctx, s, v.Partition)
		if err != nil {
			v.Err = err
			continue
		}
		if waiting == nil {
			waiting = map[node][]*stock.Vector{}
		}
		waiting[to] = append(waiting[to], v)
	}

	var sending sync.WaitGroup
	for to, vectors := range waiting {
		sending.Go(func() {
			has := s.hasReplica(ctx, to, vectors[0].Partition)
			s.send(ctx, to, vectors, has) // without a replica, scripts refuse to take units, and nothing is proven
			for _, v := range vectors {
				v.NoReplica = !has
			}
		})
	}
	s.send(ctx, node{client: s.client}, plain, false)
	sending.Wait()
}

// trusts returns an error if the vector must not be sent, because this process does not trust the data.
func (s *Store) trusts(v *stock.Vector) error {
	creates := func(r stock.Request) bool { return r.Adjustment.Create }
	if s.marks.of(v.Partition).Nonce == 0 ||
		v.Op == stock.OpAdjust && !s.marks.mayCreate(v.Partition) && slices.ContainsFunc(v.Requests, creates) {
		return untrusted(v.Op.String())
	}
	return nil
}

// timeout bounds a call of vectors. The waits for a replica, before and after the call, have time of their own, because
// the effects are there even without a replica.
func (s *Store) timeout(vectors []*stock.Vector) time.Duration {
	for _, v := range vectors {
		if v.Replicate {
			return s.cfg.CallTimeout + 2*s.cfg.ReplicaTimeout
		}
	}
	return s.cfg.CallTimeout
}

// send sends vectors through a node's client and reads the answers. With replicate, a wait for a replica follows them on
// the same connection. Then all vectors must belong to one node: the client would redirect a script of another node,
// and the wait would not follow it.
func (s *Store) send(ctx context.Context, to node, vectors []*stock.Vector, replicate bool) {
	if len(vectors) == 0 {
		return
	}
	if ctx.Err() != nil {
		for _, v := range vectors {
			v.Err = notSent(ctx, v.Op.String())
		}
		return
	}
	c := s.calls.Get().(*call)
	c.reset()
	c.unproven = s.unproven
	if replicate {
		c.unproven = "0"
	}
	for _, v := range vectors {
		c.add(s, v)
	}
	if replicate {
		c.commands = append(c.commands, s.waiting(to.client, vectors[len(vectors)-1].Partition)...)
	}

	started := s.now()
	answers := to.client.DoMulti(ctx, c.commands...)
	took := s.now().Sub(started)

	reusable := true
	var waited wait
	if replicate {
		waited = waitFrom(answers[len(vectors):])
		to.replica.saw(s.now(), waited)
	}
	for i, v := range vectors {
		sc := s.scripts[v.Op.String()]
		if err := answers[i].Error(); err != nil {
			v.Err = wrap(v.Op.String(), err)
			reusable = reusable && answers[i].NonRedisError() == nil
			s.nodes.suspect()
		} else if effects, err := readVector(v, answers[i], c.trusted[i].Nonce); err != nil {
			v.Err = err
		} else {
			v.Mark = stock.Mark{Nonce: c.trusted[i].Nonce, Effects: effects}
			s.marks.saw(v.Partition, v.Mark)
			v.Replicated = waited.replicas > 0 && (waited.wrote == nil || v.Entry.ID != "")
			sc.decided(v.Outcomes)
		}
		sc.called(took, v.Err)
	}
	// If the call was given up, its commands may still be in the client's queue, with strings that point into its buffer.
	if reusable {
		s.calls.Put(c)
	}
}
