package redisstock

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// The functions of this file read many partitions by one call to each server. If a partition cannot be read, it has an
// error of its own, and the others are read.

// many sends commands and takes the answers. of names the partition of each command. It sends failed commands again if
// the failure may pass.
func (s *Store) many(ctx context.Context, what string, of []int, command func(i int) rueidis.Completed, take func(i int, answer rueidis.RedisResult) error) []error {
	errs, which := make([]error, len(of)), make([]int, 0, len(of))
	for i, p := range of {
		if errs[i] = s.checkPartition(p); errs[i] == nil {
			which = append(which, i)
		}
	}
	for left := viewTries; left > 0 && len(which) > 0; left-- {
		partitions := make([]int, len(which))
		for k, i := range which {
			partitions[k] = of[i]
		}
		answers := s.askEach(ctx, partitions, func(k int) rueidis.Completed { return command(which[k]) })
		for k, i := range which {
			if err := answers[k].Error(); err != nil {
				errs[i] = wrap(what, err)
			} else {
				errs[i] = take(i, answers[k])
			}
		}
		which = slices.DeleteFunc(which, func(i int) bool { return !mayPass(errs[i]) })
		if ctx.Err() != nil { // not before the first try: without errors, nobody would know that nothing was read
			break
		}
	}
	return errs
}

// Size is the number of cells, of reservations in any state, and of entries of the outbox that a partition has.
type Size struct {
	Cells, Records, Entries int64
	Err                     error
}

// Sizes reads the sizes of all partitions.
func (s *Store) Sizes(ctx context.Context) []Size {
	const counted = 3 // of each partition
	of := make([]int, counted*len(s.partitions))
	for i := range of {
		of[i] = i / counted
	}
	counts := make([]int64, len(of))
	errs := s.many(ctx, "count cells, reservations and entries", of, func(i int) rueidis.Completed {
		switch k := &s.partitions[of[i]].keys; i % counted {
		case 0:
			return s.client.B().Hlen().Key(k.cells).Build()
		case 1:
			return s.client.B().Hlen().Key(k.res).Build()
		default:
			return s.client.B().Xlen().Key(k.outbox).Build()
		}
	}, func(i int, answer rueidis.RedisResult) (err error) {
		counts[i], err = answer.AsInt64()
		return err
	})
	sizes := make([]Size, len(s.partitions))
	for p := range sizes {
		n := counts[counted*p:]
		sizes[p] = Size{n[0], n[1], n[2], errors.Join(errs[counted*p : counted*(p+1)]...)}
	}
	return sizes
}

// Viewed is the result of a step of a scan, with the cursor of the next step, which is 0 after the end.
type Viewed[T any] struct {
	Found []T
	Next  uint64
	Err   error
}

// ViewManyCells is the first step of ViewCells in each of some partitions.
func (s *Store) ViewManyCells(ctx context.Context, partitions []int) []Viewed[CellView] {
	return viewMany(ctx, s, partitions, func(i int) string { return s.partitions[partitions[i]].cells }, &cellHash)
}

// ViewManyRecords is the first step of ViewRecords in each of some partitions.
func (s *Store) ViewManyRecords(ctx context.Context, partitions []int) []Viewed[stock.Reservation] {
	return viewMany(ctx, s, partitions, func(i int) string { return s.partitions[partitions[i]].res }, &recordHash)
}

// ViewManyBuyers is the first step of ViewBuyers in each of some partitions; each has a pool.
func (s *Store) ViewManyBuyers(ctx context.Context, partitions []int, pools []uint32) []Viewed[stock.BuyerCount] {
	return viewMany(ctx, s, partitions, func(i int) string { return s.partitions[partitions[i]].buyers(pools[i]) }, &buyerHash)
}

func viewMany[T any](ctx context.Context, s *Store, partitions []int, key func(i int) string, h *hash[T]) []Viewed[T] {
	steps := make([]Viewed[T], len(partitions))
	errs := s.many(ctx, "scan", partitions, func(i int) rueidis.Completed {
		return s.client.B().Hscan().Key(key(i)).Cursor(0).Count(scanCount).Build()
	}, func(i int, answer rueidis.RedisResult) error {
		step, err := answer.AsScanEntry()
		if err != nil {
			return wrapProtocol("scan "+key(i), err)
		}
		steps[i].Next = step.Cursor
		steps[i].Found, err = h.fields(key(i), step.Elements)
		return err
	})
	for i, err := range errs {
		steps[i].Err = err
	}
	return steps
}

// ManyCellsNow reads cells of any partitions, in the order asked for.
func (s *Store) ManyCellsNow(ctx context.Context, cells []stock.Cell) ([]CellView, []error) {
	found := make([]CellView, len(cells))
	errs := s.manyFields(ctx, len(cells), func(i int) (int, string, string) {
		p := cells[i].Partition(len(s.partitions))
		return p, s.partitions[p].cells, text(cells[i].Append(nil))
	}, func(i int, value string) error {
		found[i] = cellView(cells[i], value)
		return nil
	})
	return found, errs
}

// ManyRecordsNow reads reservations, each in a partition, in the order asked for.
func (s *Store) ManyRecordsNow(ctx context.Context, partitions []int, ids []stock.ReservationID) ([]stock.Reservation, []error) {
	found := make([]stock.Reservation, len(ids))
	errs := s.manyFields(ctx, len(ids), func(i int) (int, string, string) {
		return partitions[i], s.partitions[partitions[i]].res, string(ids[i][:])
	}, func(i int, value string) (err error) {
		found[i], err = recordFrom(ids[i], value)
		return err
	})
	return found, errs
}

// ManyBuyersNow reads users' counts, each in a cell, in the order asked for.
func (s *Store) ManyBuyersNow(ctx context.Context, cells []stock.Cell, users []int64) ([]int64, []error) {
	counts := make([]int64, len(cells))
	errs := s.manyFields(ctx, len(cells), func(i int) (int, string, string) {
		p := cells[i].Partition(len(s.partitions))
		return p, s.partitions[p].buyers(cells[i].Pool), text(binary.BigEndian.AppendUint64(cells[i].Append(nil), uint64(users[i])))
	}, func(i int, value string) (err error) {
		counts[i], err = unitsFrom(value)
		return err
	})
	return counts, errs
}

const (
	// fieldsAtOnce is how many fields of a hash one command reads.
	fieldsAtOnce = 512
	// manyAtOnce is about how many fields one call reads: while Redis answers it, others wait.
	manyAtOnce = 4096
)

// manyFields reads n fields of hashes. of says which: the partition, the key and the field. A missing field is empty. A command
// that fails gives its error to all its fields.
func (s *Store) manyFields(ctx context.Context, n int, of func(i int) (partition int, key, field string), take func(i int, value string) error) []error {
	type command struct {
		partition int
		key       string
		fields    []string
		which     []int
	}
	var commands []*command
	filling := map[string]*command{}
	for i := range n {
		partition, key, field := of(i)
		c := filling[key]
		if c == nil || len(c.fields) == fieldsAtOnce {
			c = &command{partition: partition, key: key}
			commands, filling[key] = append(commands, c), c
		}
		c.fields, c.which = append(c.fields, field), append(c.which, i)
	}
	errs := make([]error, n)
	for len(commands) > 0 {
		some, fields := 0, 0
		for some < len(commands) && (some == 0 || fields+len(commands[some].fields) <= manyAtOnce) {
			fields += len(commands[some].fields)
			some++
		}
		now := commands[:some]
		commands = commands[some:]
		partitions := make([]int, some)
		for k, c := range now {
			partitions[k] = c.partition
		}
		failed := s.many(ctx, "read fields", partitions, func(k int) rueidis.Completed {
			return s.client.B().Hmget().Key(now[k].key).Field(now[k].fields...).Build()
		}, func(k int, answer rueidis.RedisResult) error {
			values, err := answer.AsStrSlice()
			if err == nil && len(values) != len(now[k].fields) {
				err = elementsError(len(values))
			}
			if err != nil {
				return wrapProtocol("hmget", err)
			}
			for v, i := range now[k].which {
				errs[i] = take(i, values[v])
			}
			return nil
		})
		for k, err := range failed {
			for _, i := range now[k].which {
				if err != nil {
					errs[i] = err
				}
			}
		}
	}
	return errs
}

// OutboxPage asks for entries of a partition's outbox, as OutboxAfter does.
type OutboxPage struct {
	Partition int
	After     string
	Limit     int
}

// ViewManyOutboxes reads a page of each of some outboxes.
func (s *Store) ViewManyOutboxes(ctx context.Context, pages []OutboxPage) ([][]stock.Entry, []error) {
	found, of := make([][]stock.Entry, len(pages)), make([]int, len(pages))
	for i := range pages {
		of[i] = pages[i].Partition
	}
	errs := s.many(ctx, "read outbox", of, func(i int) rueidis.Completed {
		return s.readOutbox(of[i], pages[i].After, pages[i].Limit)
	}, func(i int, answer rueidis.RedisResult) (err error) {
		found[i], err = entriesOf(of[i], answer)
		return err
	})
	return found, errs
}
