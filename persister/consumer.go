package persister

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"sluice/core/lifecycle"
	"sluice/core/outbox"
	"sluice/core/stock"
)

const (
	makeWithin  = 10 * time.Second
	commitEvery = 100 * time.Millisecond
	fetchWait   = time.Second
	fetchPause  = 100 * time.Millisecond // after a fetch that failed
	stuckAfter  = 30 * time.Second       // of failing fetches, after which the consumer joins the group again
)

// consumer reads the topic as a member of the persisters' group. It commits offsets only after MySQL has committed. So
// each message is applied at least once, and the writer gives it only one effect. Therefore a member that was replaced
// and does not know it yet does no harm.
type consumer struct {
	cfg       Config
	topic     *outbox.Topic
	newWorker func() *applier
	applied   func(*batch) // called after each batch that is in MySQL
	meters    *meters
	log       *slog.Logger
}

// run consumes until ctx ends. Then it finishes what is under way and commits its offsets.
func (c *consumer) run(ctx context.Context) error {
	topicTrouble := lifecycle.NewTrouble(c.log, "make sure of topic "+c.cfg.Kafka.Topic)
	group := outbox.Group{
		Brokers: c.cfg.Kafka.Brokers, Topic: c.cfg.Kafka.Topic, ID: c.cfg.Kafka.Group,
		Balancers: []kafka.GroupBalancer{balancer{topic: c.cfg.Kafka.Topic, partitions: c.cfg.Kafka.Partitions}},
	}
	return group.Run(ctx, c.log, c.consume, func(err error) {
		if err == nil {
			c.meters.generations.Inc()
			topicTrouble.Saw(c.makeSure(ctx))
		}
	})
}

// makeSure makes the topic if it is missing. The topic was there at the start, but a Kafka that has lost everything has
// lost it too, and nobody else makes it again. A generation ends as soon as the library misses the topic, so makeSure
// does not end with a generation.
func (c *consumer) makeSure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, makeWithin)
	defer cancel()
	return c.topic.Create(ctx, c.cfg.Kafka.Partitions, c.cfg.Kafka.Replication)
}

// balancer divides the partitions among the members. While the topic is missing, Kafka knows of no partitions. A
// generation that begins then would stay without work after somebody has made the topic, so balancer divides the number
// of partitions that the settings name.
type balancer struct {
	kafka.RangeGroupBalancer
	topic      string
	partitions int
}

func (b balancer) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	if len(partitions) == 0 {
		for i := range b.partitions {
			partitions = append(partitions, kafka.Partition{Topic: b.topic, ID: i})
		}
	}
	return b.RangeGroupBalancer.AssignGroups(members, partitions)
}

// consume reads the partitions of one generation until ctx ends or the group cannot be reached.
func (c *consumer) consume(ctx context.Context, generation *kafka.Generation) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	offsets := map[int]int64{}
	for _, assigned := range generation.Assignments[c.cfg.Kafka.Topic] {
		offsets[assigned.ID] = assigned.Offset
	}
	c.log.Info("consuming", "generation", generation.ID, "partitions", stock.PartitionRanges(slices.Collect(maps.Keys(offsets))))
	at := newProgress(offsets)
	c.meters.progress.Store(at)

	inputs := make([]chan chunk, min(c.cfg.Workers, len(offsets)))
	var running sync.WaitGroup
	for i := range inputs {
		inputs[i] = make(chan chunk, 1)
		running.Go(func() { c.work(ctx, inputs[i], at) })
	}
	next := 0
	for partition, offset := range offsets {
		input := inputs[next%len(inputs)]
		next++
		running.Go(func() {
			c.read(ctx, partition, offset, at, input)
			if ctx.Err() == nil {
				cancel() // join again
			}
		})
	}
	c.commit(ctx, generation, at)
	cancel()
	running.Wait()
	_ = c.commitOnce(generation, at) // for what the workers finished meanwhile; it logs its own failure
}

// commit commits offsets now and then until ctx ends or Kafka refuses.
func (c *consumer) commit(ctx context.Context, generation *kafka.Generation, at *progress) {
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := c.commitOnce(generation, at); err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (c *consumer) commitOnce(generation *kafka.Generation, at *progress) error {
	offsets := at.uncommitted()
	if len(offsets) == 0 {
		return nil
	}
	if err := generation.CommitOffsets(map[string]map[int]int64{c.cfg.Kafka.Topic: offsets}); err != nil {
		c.log.Warn("cannot commit offsets: their events will be read again, which is harmless", "error", outbox.InWords(err))
		return err // only looked at
	}
	at.committed(offsets)
	return nil
}

// read fetches one partition into a worker's input until ctx ends, or fetching has failed for long.
func (c *consumer) read(ctx context.Context, partition int, offset int64, at *progress, input chan<- chunk) {
	r := fetching{offset: offset, healthy: c.meters.now()}
	for {
		from := r.offset
		got, err := c.topic.Read(ctx, partition, from, c.cfg.FetchBytes, fetchWait)
		if ctx.Err() != nil {
			return
		}
		how := r.step(c.meters.now(), got, err)
		if err == nil {
			at.saw(partition, got.End)
		}
		c.tell(how, partition, from, got, err)
		if how.ends() {
			return
		}
		if how == fetchedSome {
			select {
			case input <- chunk{partition, got.Messages, got.Next}:
			case <-ctx.Done():
				return
			}
		}
		if pause := how.pause(got, c.cfg.BatchWait); pause > 0 && !lifecycle.Pause(ctx, pause) {
			return
		}
	}
}

// tell logs and counts what a person should know about a fetch.
func (c *consumer) tell(how fetched, partition int, from int64, got outbox.Read, err error) {
	switch how {
	case fetchedSome:
		if got.Missing > 0 {
			c.log.Error("kafka has lost messages: the relay publishes again those that mysql does not have",
				"partition", partition, "from", from, "to", got.Next, "missing", got.Missing)
			c.meters.offsetGaps.Inc()
		}
	case fetchedGone:
		c.log.Error("kafka does not have the next offset any more: reading on from the first one that it has; the relay publishes again the events that were lost",
			"partition", partition, "offset", from)
		c.meters.offsetResets.Inc()
	case fetchFailedLong:
		c.log.Error("cannot fetch, joining the group again", "partition", partition, "error", err)
		c.meters.fetchFailures.Inc()
	case fetchFailed:
		c.meters.fetchFailures.Inc()
	case fetchedWithheldLong:
		c.log.Error("kafka gives nothing though it has more, joining the group again: see the log of its broker, and whether it has a quota for this client",
			"partition", partition, "offset", from, "end", got.End)
	case fetchedAtEnd, fetchedWithheld:
	}
}

// work writes the chunks of a worker's input into MySQL until ctx ends, as many at once as are there.
func (c *consumer) work(ctx context.Context, input <-chan chunk, at *progress) {
	worker := c.newWorker()
	b := newBatch()
	for {
		b.reset()
		select {
		case got := <-input:
			b.add(got)
		case <-ctx.Done():
			return
		}
		for more := true; more && b.size() < c.cfg.BatchEvents; {
			select {
			case got := <-input:
				b.add(got)
			default:
				more = false
			}
		}
		if err := worker.apply(ctx, b.rows(), b.letters); err != nil {
			return
		}
		for partition, next := range b.next {
			at.applied(partition, next)
		}
		c.applied(b)
	}
}
