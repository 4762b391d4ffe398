package redisstock

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/event"
	"sluice/core/stock"
)

// entryField is the field of an outbox entry that holds the events.
const entryField = "e"

// OutboxStat is the state of one partition's outbox.
type OutboxStat struct {
	Entries  int64
	OldestMS int64 // Redis time at which the oldest entry was written, 0 if there is none
}

// OutboxSum is the state of all outboxes.
type OutboxSum struct {
	Entries, Fullest int64 // of all, and of the partition that has most
	OldestMS         int64 // as in OutboxStat
}

// SumOutboxes sums the states of partitions.
func SumOutboxes(stats []OutboxStat) (sum OutboxSum) {
	for _, s := range stats {
		sum.Entries += s.Entries
		sum.Fullest = max(sum.Fullest, s.Entries)
		if s.OldestMS != 0 && (sum.OldestMS == 0 || s.OldestMS < sum.OldestMS) {
			sum.OldestMS = s.OldestMS
		}
	}
	return sum
}

// OutboxLast returns the id of the last entry that was appended to a partition's outbox, even if it has been deleted
// since. It is "0-0" if there never was one.
func (s *Store) OutboxLast(ctx context.Context, partition int) (string, error) {
	if err := s.checkPartition(partition); err != nil {
		return "", err
	}
	ends := s.outboxEnds(ctx, []int{partition})[0]
	return ends.Last, ends.Err
}

// endsAtOnce is how many partitions' ends one call reads. Redis returns the first and the last entry whole, up to 12 KiB
// each.
const endsAtOnce = 64

// OutboxEnds reads the first and last entry of every partition's outbox. The error of a partition wraps stock.ErrShut if
// the store does not trust its data.
func (s *Store) OutboxEnds(ctx context.Context) []stock.OutboxEnds {
	ends := make([]stock.OutboxEnds, 0, len(s.partitions))
	for some := range slices.Chunk(s.all(), endsAtOnce) {
		ends = append(ends, s.outboxEnds(ctx, some)...)
	}
	for p, answer := range s.askAll(ctx, func(k keys) rueidis.Completed { return s.client.B().Get().Key(k.mark).Build() }) {
		if ends[p].Err == nil {
			ends[p].Err = s.checkNonce("read ends of outbox", p, answer)
		}
	}
	return ends
}

func (s *Store) outboxEnds(ctx context.Context, partitions []int) []stock.OutboxEnds {
	ends := make([]stock.OutboxEnds, len(partitions))
	for i, answer := range s.askEach(ctx, partitions, func(i int) rueidis.Completed {
		return s.client.B().XinfoStream().Key(s.partitions[partitions[i]].outbox).Build()
	}) {
		ends[i] = endsOf(answer)
	}
	return ends
}

// endsOf reads the answer of XINFO STREAM.
func endsOf(answer rueidis.RedisResult) (ends stock.OutboxEnds) {
	info, err := answer.AsMap()
	if err != nil {
		if redisErr, ok := rueidis.IsRedisErr(err); ok && strings.HasSuffix(redisErr.Error(), "no such key") {
			return stock.OutboxEnds{Last: "0-0"}
		}
		return stock.OutboxEnds{Err: wrap("read ends of outbox", err)}
	}
	last, first := info["last-generated-id"], info["first-entry"]
	if ends.Last, err = last.ToString(); err == nil && !first.IsNil() {
		var entry []rueidis.RedisMessage
		if entry, err = first.ToArray(); err == nil && len(entry) > 0 {
			ends.First, err = entry[0].ToString()
		}
	}
	if err != nil {
		return stock.OutboxEnds{Err: wrapProtocol("ends of outbox", err)}
	}
	return ends
}

// OutboxAfter reads at most limit entries of a partition's outbox after the entry with an id, or from
// its beginning if the id is empty.
func (s *Store) OutboxAfter(ctx context.Context, partition int, after string, limit int) (entries []stock.Entry, err error) {
	err = s.within(ctx, partition, func(ctx context.Context, _ *keys) (err error) {
		entries, err = entriesOf(partition, s.client.Do(ctx, s.readOutbox(partition, after, limit)))
		return err
	})
	return entries, err
}

func (s *Store) readOutbox(partition int, after string, limit int) rueidis.Completed {
	start := "-"
	if after != "" {
		start = "(" + after
	}
	return s.client.B().Xrange().Key(s.partitions[partition].outbox).Start(start).End("+").Count(int64(limit)).Build()
}

func entriesOf(partition int, answer rueidis.RedisResult) ([]stock.Entry, error) {
	found, err := answer.AsXRangeSlices()
	if err != nil {
		return nil, wrap("read outbox", err)
	}
	entries := make([]stock.Entry, 0, len(found))
	for _, f := range found {
		entry, err := entryOf(partition, f)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

func entryOf(partition int, f rueidis.XRangeSlice) (stock.Entry, error) {
	if len(f.FieldValues) != 1 || f.FieldValues[0].Field != entryField {
		return stock.Entry{}, fmt.Errorf("read outbox: %w: entry %s has unknown fields", stock.ErrProtocol, f.ID)
	}
	return stock.Entry{Partition: partition, ID: f.ID, Data: bytesOf(f.FieldValues[0].Value)}, nil
}

// OutboxDelete removes entries from a partition's outbox, and returns how many of them were there. The error wraps
// stock.ErrShut if the store does not trust the data, because two histories can have the same ids.
func (s *Store) OutboxDelete(ctx context.Context, partition int, ids []string) (deleted int64, err error) {
	err = s.within(ctx, partition, func(ctx context.Context, k *keys) error {
		if len(ids) == 0 {
			return nil
		}
		if err := s.checkTrust(ctx, "delete from outbox", partition); err != nil {
			return err
		}
		deleted, err = s.client.Do(ctx, s.client.B().Xdel().Key(k.outbox).Id(ids...).Build()).AsInt64()
		if err != nil {
			return wrap("delete from outbox", err)
		}
		return nil
	})
	return deleted, err
}

// OutboxStats reads the state of every partition's outbox.
func (s *Store) OutboxStats(ctx context.Context) ([]OutboxStat, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	commands := make([]rueidis.Completed, 0, 2*len(s.partitions))
	for p := range s.partitions {
		key := s.partitions[p].outbox
		commands = append(commands,
			s.client.B().Xlen().Key(key).Build(),
			s.client.B().Xrange().Key(key).Start("-").End("+").Count(1).Build())
	}
	answers := s.client.DoMulti(ctx, commands...)
	stats := make([]OutboxStat, len(s.partitions))
	for p := range stats {
		entries, err := answers[2*p].AsInt64()
		if err != nil {
			return nil, wrap("measure outbox", err)
		}
		oldest, err := answers[2*p+1].AsXRangeSlices()
		if err != nil {
			return nil, wrap("measure outbox", err)
		}
		stats[p].Entries = entries
		if len(oldest) == 0 {
			continue
		}
		ms, _, _ := strings.Cut(oldest[0].ID, "-")
		if stats[p].OldestMS, err = strconv.ParseInt(ms, 10, 64); err != nil {
			return nil, wrapProtocol("outbox", err)
		}
	}
	return stats, nil
}

// Now returns Redis' time. In a cluster it is the time of any node.
func (s *Store) Now(ctx context.Context) (nowMS int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	return serverTime(ctx, s.client)
}

// serverTime is a server's own time in ms.
func serverTime(ctx context.Context, server rueidis.CoreClient) (nowMS int64, err error) {
	parts, err := server.Do(ctx, server.B().Time().Build()).AsIntSlice()
	if err != nil {
		return 0, wrap("read time", err)
	}
	if len(parts) != 2 {
		return 0, wrapProtocol("time", elementsError(len(parts)))
	}
	return parts[0]*1000 + parts[1]/1000, nil
}

// Persisted returns the Redis time up to which MySQL has everything that happened, and Redis' present time. It knows this
// from the outboxes, because an entry leaves them only after MySQL's commit. In a cluster the time is that of any node.
func (s *Store) Persisted(ctx context.Context) (untilMS, nowMS int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	if nowMS, err = serverTime(ctx, s.client); err != nil {
		return 0, 0, err
	}
	// First the time, then the outboxes: everything that happened before that time is in one of them, or in MySQL.
	commands := make([]rueidis.Completed, len(s.partitions))
	for p := range s.partitions {
		commands[p] = s.client.B().Xrange().Key(s.partitions[p].outbox).Start("-").End("+").Count(1).Build()
	}
	untilMS = nowMS
	for p, answer := range s.client.DoMulti(ctx, commands...) {
		oldest, err := answer.AsXRangeSlices()
		if err != nil {
			return 0, 0, wrap("read outbox", err)
		}
		if len(oldest) == 0 {
			continue
		}
		entry, err := entryOf(p, oldest[0])
		if err != nil {
			return 0, 0, err
		}
		d, err := event.NewDecoder(entry.Data)
		if err != nil {
			return 0, 0, wrapProtocol("outbox", err)
		}
		untilMS = min(untilMS, d.TimeMS-1) // not the time in the entry's id, which may be a little later
	}
	return untilMS, nowMS, nil
}

// RelayAfter is OutboxAfter, but only for data that the store trusts. A relay publishes what it reads, and must not publish
// the outbox of another deployment, or of another history of this one.
func (s *Store) RelayAfter(ctx context.Context, partition int, after string, limit int) (entries []stock.Entry, err error) {
	err = s.within(ctx, partition, func(ctx context.Context, _ *keys) error {
		answers, err := s.onTrusted(ctx, "read outbox", partition, s.readOutbox(partition, after, limit))
		if err == nil {
			entries, err = entriesOf(partition, answers[0])
		}
		return err
	})
	return entries, err
}

// RelayLease takes or renews the right to relay a partition's outbox for a while. It returns false while another owner has
// the right. A lease saves work and is no lock: relaying twice is harmless.
func (s *Store) RelayLease(ctx context.Context, partition int, owner string, ttl time.Duration) (bool, error) {
	taken, err := s.keep(ctx, "take relay lease", s.upkeep.lease, partition, []string{keysOf(partition).relay},
		owner, strconv.FormatInt(ttl.Milliseconds(), 10))
	return taken == 1, err
}

// RelayMark returns the id of the last outbox entry of a partition that a relay has published, or an empty id, and how
// often this mark was reset.
func (s *Store) RelayMark(ctx context.Context, partition int) (id string, resets int64, err error) {
	err = s.within(ctx, partition, func(ctx context.Context, k *keys) error {
		answers, err := s.onTrusted(ctx, "read relay mark", partition,
			s.client.B().Hmget().Key(k.meta).Field(metaRelayed, metaRelayResets).Build())
		if err != nil {
			return err
		}
		fields, err := answers[0].ToArray()
		if err != nil {
			return wrap("read relay mark", err)
		}
		if !fields[0].IsNil() {
			id, err = fields[0].ToString()
		}
		if err == nil && !fields[1].IsNil() {
			resets, err = fields[1].AsInt64()
		}
		if err != nil {
			return wrapProtocol("relay mark", err)
		}
		return nil
	})
	return id, resets, err
}

// SetRelayMark notes the last entry of a partition that a relay has published.
func (s *Store) SetRelayMark(ctx context.Context, partition int, id string) error {
	_, err := s.keep(ctx, "set relay mark", s.upkeep.relayed, partition, []string{keysOf(partition).meta}, id)
	return err
}

// ResetRelayMark empties a partition's relay mark, so that relays publish everything again. It returns how often the mark
// was reset.
func (s *Store) ResetRelayMark(ctx context.Context, partition int) (resets int64, err error) {
	return s.keep(ctx, "reset relay mark", s.upkeep.unrelayed, partition, []string{keysOf(partition).meta})
}
