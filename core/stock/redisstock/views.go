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
