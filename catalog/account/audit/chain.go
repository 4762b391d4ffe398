package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/core/shard"
)

// Chain is the entries of a logical shard, each of which has the hash of the one before it. So many chains make none of them
// a place where acts wait for each other, and a shard that moves to another database takes its chain along.
type Chain uint32

const (
	numberBits = 10
	monthBits  = 16
)

// ChainOf is the chain of a shard.
func ChainOf(s shard.Shard) Chain {
	return Chain(s.Kind)<<(monthBits+numberBits) | Chain(s.Month)<<numberBits | Chain(s.Number)
}

// Shard is the shard of a chain.
func (c Chain) Shard() shard.Shard {
	return shard.Shard{
		Kind: shard.Kind(c >> (monthBits + numberBits)), Month: shard.Month(c >> numberBits & (1<<monthBits - 1)), Number: uint16(c & (shard.Count - 1)),
	}
}

// kinds are those that have chains.
var kinds = []shard.Kind{shard.Users, shard.Products, shard.Values, shard.Checkouts}

// String is the chain as people and exports have it: users-17, or checkouts-2026-11-17.
func (c Chain) String() string {
	s := c.Shard()
	if int(s.Kind) >= len(kinds) {
		return fmt.Sprintf("chain-%d", uint32(c))
	}
	if s.Kind == shard.Checkouts {
		return fmt.Sprintf("%s-%s-%d", s.Kind, s.Month, s.Number)
	}
	return fmt.Sprintf("%s-%d", s.Kind, s.Number)
}

// AppendText implements encoding.TextAppender, and with it JSON.
func (c Chain) AppendText(dst []byte) ([]byte, error) { return append(dst, c.String()...), nil }

// MarshalText implements encoding.TextMarshaler.
func (c Chain) MarshalText() ([]byte, error) { return c.AppendText(nil) }

// UnmarshalText implements encoding.TextUnmarshaler. It reads only what String writes.
func (c *Chain) UnmarshalText(text []byte) error {
	word, rest, _ := strings.Cut(string(text), "-")
	for _, kind := range kinds {
		if kind.String() != word {
			continue
		}
		s := shard.Shard{Kind: kind}
		if kind == shard.Checkouts && len(rest) > len("2006-01-") {
			at, err := time.Parse("2006-01", rest[:len("2006-01")])
			if err != nil {
				break
			}
			s.Month, rest = shard.MonthOf(at), rest[len("2006-01-"):]
		}
		number, err := strconv.ParseUint(rest, 10, numberBits)
		if err != nil {
			break
		}
		s.Number = uint16(number)
		if read := ChainOf(s); read.String() == string(text) {
			*c = read
			return nil
		}
	}
	return fmt.Errorf("%.40q is no chain: want users-17, or checkouts-2026-11-17", text)
}

// Hash is the SHA-256 of an entry and of the hash before it.
type Hash [sha256.Size]byte

// hashForm begins what is hashed, so that a hash of the log is one of nothing else.
const hashForm = "sluice audit 1\n"

// follow is the hash of an entry behind another one. Each part has its length before it: no two entries look alike.
func (e *Entry) follow(before Hash) Hash {
	buf := append(make([]byte, 0, 512+len(e.Changes)), hashForm...)
	buf = append(buf, before[:]...)
	for _, number := range []uint64{uint64(e.Chain), e.N, uint64(e.At.UnixMilli())} {
		buf = binary.BigEndian.AppendUint64(buf, number)
	}
	for _, part := range []string{e.Actor, e.Act, e.Object, e.Origin, e.Why, e.Ref, string(e.Changes)} {
		buf = binary.AppendUvarint(buf, uint64(len(part)))
		buf = append(buf, part...)
	}
	return sha256.Sum256(buf)
}
