package redisstock

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

const (
	// basketBytes: version 1, state 1, refusal 1, line 1, fingerprint 4. A begun basket has the end of a nonce in place of a
	// refusal and its line.
	basketBytes = 1 + 1 + 1 + 1 + 4
	// wholeBytes: user 8, fingerprint 4, before the lines of a basket in full.
	wholeBytes = 8 + 4
	// lineBytes: id 16, cell 14, quantity 3.
	lineBytes = stock.ReservationBytes + stock.CellBytes + 3
)

// The kinds of parts.
const (
	awayPart = 0
	homePart = 1
	heldPart = 2
)

// gather makes the call of gather.lua.
func (c *call) gather(s *Store, p *partition, requests []stock.Request) {
	c.keys = append(c.keys, p.cells, p.res, p.due, p.outbox, p.baskets, p.undecided)
	c.take(s, p, requests)
	c.addParts(requests)
	c.args = append(c.args, c.unproven)
}

// void makes the call of void.lua.
func (c *call) void(s *Store, p *partition, requests []stock.Request) {
	c.keys = append(c.keys, p.cells, p.res, p.gone, p.outbox, p.baskets, p.undecided)
	for i := range requests {
		c.pool(p, requests[i].Cell.Pool)
	}
	c.args = append(c.args, p.head, s.retentionMS)
	c.addPools()
	c.addParts(requests)
	c.addIDs(requests)
	c.addAsks(requests)
}

// decide makes the call of decide.lua.
func (c *call) decide(p *partition, requests []stock.Request) {
	c.keys = append(c.keys, p.baskets, p.undecided)
	start := len(c.buf)
	for i := range requests {
		part := requests[i].Part
		intact := byte(0)
		if part.Intact {
			intact = 1
		}
		c.buf = append(c.buf, byte(part.To), intact, byte(part.Refusal), part.Line)
	}
	c.args = append(c.args, c.since(start))
	c.addIDs(requests)
	for i := range requests {
		start := len(c.buf)
		c.buf = appendWhole(c.buf, requests[i].Part.Home)
		c.args = append(c.args, c.since(start))
	}
}

// addParts adds one argument: for each part, how many lines it has, its kind, and at home the basket in full.
func (c *call) addParts(requests []stock.Request) {
	start := len(c.buf)
	for part := range stock.Parts(requests) {
		kind, home := byte(awayPart), part[0].Part.Home
		switch {
		case home != nil:
			kind = homePart
		case part[0].Part.Held:
			kind = heldPart
		}
		c.buf = append(c.buf, byte(len(part)), kind)
		if home == nil {
			c.buf = append(c.buf, 0, 0)
			continue
		}
		c.buf = binary.BigEndian.AppendUint16(c.buf, uint16(wholeBytes+lineBytes*len(home.Lines)))
		c.buf = appendWhole(c.buf, home)
	}
	c.args = append(c.args, c.since(start))
}

// appendWhole appends a basket in full.
func appendWhole(dst []byte, b *stock.Basket) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.User))
	dst = binary.BigEndian.AppendUint32(dst, b.Fingerprint)
	for i := range b.Lines {
		l := &b.Lines[i]
		dst = append(dst, l.ID[:]...)
		dst = l.Cell.Append(dst)
		dst = appendUint(dst, uint64(l.Quantity), 3)
	}
	return dst
}

// basketFrom reads a basket in full.
func basketFrom(whole string) (stock.Basket, error) {
	b := bytesOf(whole)
	if len(b) <= wholeBytes || (len(b)-wholeBytes)%lineBytes != 0 {
		return stock.Basket{}, fmt.Errorf("%w: a basket in full has %d bytes", stock.ErrProtocol, len(b))
	}
	basket := stock.Basket{User: int64(uintAt(b, 0, 8)), Fingerprint: binary.BigEndian.Uint32(b[8:])}
	for b = b[wholeBytes:]; len(b) > 0; b = b[lineBytes:] {
		basket.Lines = append(basket.Lines, stock.Line{
			ID: stock.ReservationID(b), Cell: stock.CellFrom(b[stock.ReservationBytes:]), Quantity: int64(uintAt(b, lineBytes-3, 3)),
		})
	}
	return basket, nil
}

// basketRecordFrom reads the record of a basket in data with a nonce. An empty value means that there is none.
func basketRecordFrom(value string, nonce uint64) (stock.BasketRecord, error) {
	if value == "" {
		return stock.BasketRecord{}, nil
	}
	if len(value) != basketBytes || value[0] != valueVersion {
		return stock.BasketRecord{}, fmt.Errorf("%w: record of a basket has %d bytes and version %d, want %d of version %d",
			stock.ErrProtocol, len(value), value[0], basketBytes, valueVersion)
	}
	b := bytesOf(value)
	record := stock.BasketRecord{State: stock.BasketState(b[1]), Fingerprint: binary.BigEndian.Uint32(b[4:])}
	if record.State == stock.BasketBegun {
		record.Intact = nonce != 0 && binary.BigEndian.Uint16(b[2:]) == vettingOf(nonce)
	} else {
		record.Refusal, record.Line = stock.Verdict(b[2]), b[3]
	}
	return record, nil
}

// vettingOf is the end of a nonce, which begun baskets have. Successive vettings of a partition differ in it.
func vettingOf(nonce uint64) uint16 { return uint16(nonce) }

// tellsBasket reports whether the answer to a request begins with the record of its basket: a part's first line at home, and
// every decision.
func tellsBasket(v *stock.Vector, i int) bool {
	part := v.Requests[i].Part
	return part.Home != nil && (v.Op == stock.OpDecide || i == 0 || v.Requests[i-1].Part != part)
}

// nextBasket reads the record of a basket, which may be none, before other records.
func nextBasket(records string, nonce uint64) (b stock.BasketRecord, rest string, err error) {
	if len(records) < basketBytes {
		return b, "", fmt.Errorf("records of %d bytes left, want one of a basket", len(records))
	}
	if records[0] != 0 {
		b, err = basketRecordFrom(records[:basketBytes], nonce)
	}
	return b, records[basketBytes:], err
}

// Baskets reads the records of baskets in the order asked for, whether the store trusts the data or not.
func (s *Store) Baskets(ctx context.Context, ids []stock.ReservationID) ([]stock.BasketRecord, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	commands := make([]rueidis.Completed, len(ids))
	for i, id := range ids {
		if err := s.checkPartition(id.Partition()); err != nil {
			return nil, err
		}
		commands[i] = s.client.B().Hmget().Key(s.partitions[id.Partition()].baskets).Field(string(id[:])).Build()
	}
	found := make([]stock.BasketRecord, len(ids))
	for i, answer := range s.client.DoMulti(ctx, commands...) {
		values, err := answer.AsStrSlice()
		if err != nil {
			return nil, wrap("read baskets", err)
		}
		if found[i], err = basketRecordFrom(values[0], s.marks.of(ids[i].Partition()).Nonce); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Undecided reads baskets of a partition that were begun at least so long ago and are not decided, oldest first. It skips so
// many. An entry that cannot be read has an error, and those behind it are read.
func (s *Store) Undecided(ctx context.Context, partition int, age time.Duration, skip, limit int) (found []stock.Undecided, err error) {
	err = s.within(ctx, partition, func(ctx context.Context, k *keys) error {
		args := []string{millis(age), strconv.Itoa(skip), strconv.Itoa(limit)}
		reply, err := s.eval(ctx, "undecided", partition, s.marks.of(partition), []string{k.undecided}, args, 1)
		if err != nil {
			return err
		}
		for i := 1; i+1 < len(reply); i += 2 {
			u := stock.Undecided{}
			whole, err := reply[i].ToString()
			if err == nil {
				u.SinceMS, err = reply[i+1].AsInt64()
			}
			if err != nil {
				return wrapProtocol("undecided", err)
			}
			if u.Basket, err = basketFrom(whole); err != nil {
				u.Err = fmt.Errorf("read the entry %.64q of %s: %w", whole, k.undecided, err)
			}
			found = append(found, u)
		}
		return nil
	})
	return found, err
}
