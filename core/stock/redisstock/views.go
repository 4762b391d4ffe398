package redisstock

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/core/tally"
)

// Reconciliation reads by the functions of this file. They also read data that the store does not trust, because
// reconciliation looks for lost data. They need no loaded script, and each call has its own deadline.

// viewTries is how often a call is tried. The calls change nothing, so they can be repeated.
const viewTries = 3

// again makes a call, and repeats it if that may help.
func again[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for left := viewTries; ; left-- {
		tally.Add(ctx, 1)
		found, err := call()
		if left == 1 || ctx.Err() != nil || !mayPass(err) {
			return found, err
		}
	}
}

// mayPass reports whether a call that failed may succeed if it is repeated.
func mayPass(err error) bool {
	return errors.Is(err, stock.ErrUnknown) || errors.Is(err, stock.ErrNotApplied)
}

// CellView is a cell as Redis has it.
type CellView struct {
	stock.CellState

	Unreadable bool // this program does not know the form of its value
}

func cellView(cell stock.Cell, value string) CellView {
	state, err := cellFrom(cell, value)
	return CellView{state, err != nil}
}

// hash says how to read the fields of a hash.
type hash[T any] struct {
	fieldBytes int
	read       func(field, value string) (T, error)
}

var (
	cellHash = hash[CellView]{stock.CellBytes, func(field, value string) (CellView, error) {
		return cellView(stock.CellFrom(bytesOf(field)), value), nil
	}}
	recordHash = hash[stock.Reservation]{stock.ReservationBytes, func(field, value string) (stock.Reservation, error) {
		return recordFrom(stock.ReservationID(bytesOf(field)), value)
	}}
	buyerHash = hash[stock.BuyerCount]{buyerBytes, func(field, value string) (stock.BuyerCount, error) {
		b := bytesOf(field)
		units, err := unitsFrom(value)
		return stock.BuyerCount{Cell: stock.CellFrom(b), User: int64(binary.BigEndian.Uint64(b[stock.CellBytes:])), Units: units}, err
	}}
)

// buyerBytes is the length of a user's field: cell and user.
const buyerBytes = stock.CellBytes + 8

// ViewCells scans cells of a partition from a cursor on, which is 0 at the beginning and after the end. A cell may come more
// than once.
func (s *Store) ViewCells(ctx context.Context, partition int, cursor uint64) (found []CellView, next uint64, err error) {
	return view(ctx, s, partition, s.partitions[partition].cells, cursor, &cellHash)
}

// ViewRecords scans reservations of a partition as ViewCells does.
func (s *Store) ViewRecords(ctx context.Context, partition int, cursor uint64) (found []stock.Reservation, next uint64, err error) {
	return view(ctx, s, partition, s.partitions[partition].res, cursor, &recordHash)
}

// ViewBuyers scans the counts of users in a pool of a partition as ViewCells does.
func (s *Store) ViewBuyers(ctx context.Context, partition int, pool uint32, cursor uint64) (found []stock.BuyerCount, next uint64, err error) {
	return view(ctx, s, partition, s.partitions[partition].buyers(pool), cursor, &buyerHash)
}

func unitsFrom(value string) (int64, error) {
	if value == "" {
		return 0, nil
	}
	if len(value) != 3 {
		return 0, fmt.Errorf("%w: count of %d bytes, want 3", stock.ErrProtocol, len(value))
	}
	return int64(uintAt(bytesOf(value), 0, 3)), nil
}

// view is one step of a scan.
func view[T any](ctx context.Context, s *Store, partition int, key string, cursor uint64, h *hash[T]) (found []T, next uint64, err error) {
	if err := s.checkPartition(partition); err != nil {
		return nil, 0, err
	}
	step, err := again(ctx, func() (rueidis.ScanEntry, error) { return s.scanStep(ctx, key, cursor) })
	if err != nil {
		return nil, 0, err
	}
	found, err = h.fields(key, step.Elements)
	return found, step.Cursor, err
}

// fields decodes the result of a step of a scan.
func (h *hash[T]) fields(key string, elements []string) ([]T, error) {
	found := make([]T, 0, len(elements)/2)
	for i := 0; i+1 < len(elements); i += 2 {
		if len(elements[i]) != h.fieldBytes {
			return nil, fieldError(key, elements[i])
		}
		one, err := h.read(elements[i], elements[i+1])
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, nil
}

// NowAgain is Now, repeated if the failure may pass.
func (s *Store) NowAgain(ctx context.Context) (nowMS int64, err error) {
	return again(ctx, func() (int64, error) { return s.Now(ctx) })
}

// RecordsNow reads reservations of a partition, any number of them, in the order asked for.
func (s *Store) RecordsNow(ctx context.Context, partition int, ids []stock.ReservationID) ([]stock.Reservation, error) {
	found, errs := s.ManyRecordsNow(ctx, slices.Repeat([]int{partition}, len(ids)), ids)
	if err := cmp.Or(errs...); err != nil {
		return nil, err
	}
	return found, nil
}

// DuePage is a part of a partition's list of deadlines.
type DuePage struct {
	IDs     []stock.ReservationID // which may have ended since
	Members int                   // of the list, each with one reservation or more
	LastMS  int64                 // the last deadline
}

// DueBetween reads the reservations of a partition with the first deadlines between two Redis times, including both: at most
// limit members of the list.
func (s *Store) DueBetween(ctx context.Context, partition int, fromMS, toMS int64, limit int) (page DuePage, err error) {
	if err := s.checkPartition(partition); err != nil {
		return page, err
	}
	found, err := again(ctx, func() ([]rueidis.ZScore, error) {
		ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
		defer cancel()
		found, err := s.client.Do(ctx, s.client.B().Zrange().Key(s.partitions[partition].due).Min(strconv.FormatInt(fromMS, 10)).
			Max(strconv.FormatInt(toMS, 10)).Byscore().Limit(0, int64(limit)).Withscores().Build()).AsZScores()
		if err != nil {
			return nil, wrap("read deadlines", err)
		}
		return found, nil
	})
	if err != nil {
		return page, err
	}
	for _, member := range found {
		b := bytesOf(member.Member)
		if len(b) < poolBytes || (len(b)-poolBytes)%stock.ReservationBytes != 0 {
			return page, wrapProtocol("deadlines", errMember)
		}
		for b = b[poolBytes:]; len(b) > 0; b = b[stock.ReservationBytes:] {
			page.IDs = append(page.IDs, stock.ReservationID(b))
		}
		page.LastMS = int64(member.Score)
	}
	page.Members = len(found)
	return page, nil
}

// Those below read many partitions by one call to each server. If a partition cannot be read, it has an error of its own, and the
// others are read.

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
