package quota

import (
	"encoding/binary"
	"errors"

	"sluice/core/limit"
)

// A notice is what an edge tells the others, before it is sealed:
//
//	version 2, edge 8, number, heard, and for each policy: number of keys, and for each key: id 8, tokens
//
// Where no length is given, it is an unsigned varint.
const noticeVersion = 2

// edgeID tells running edges apart.
type edgeID [8]byte

// sender says who gave a notice, and when.
type sender struct {
	edge   edgeID
	number uint64 // of the edge's notices: it grows
	heard  uint64 // the place of the last notice that the edge had heard, in ms of the stream's clock; 0: none yet
}

// Bounds of a notice.
const (
	keysMax   = 256     // of a policy
	tokensMax = 1 << 31 // of a key
)

var errNotice = errors.New("not a notice of an edge")

// appendNotice appends a notice, with what was taken for each policy.
func appendNotice(dst []byte, from sender, policies [][]limit.Taken) []byte {
	dst = append(dst, noticeVersion)
	dst = append(dst, from.edge[:]...)
	dst = binary.AppendUvarint(dst, from.number)
	dst = binary.AppendUvarint(dst, from.heard)
	for _, taken := range policies {
		dst = binary.AppendUvarint(dst, uint64(len(taken)))
		for _, t := range taken {
			dst = binary.BigEndian.AppendUint64(dst, t.ID)
			dst = binary.AppendUvarint(dst, uint64(t.Tokens))
		}
	}
	return dst
}

// readNotice reads a notice with so many policies.
func readNotice(text []byte, policies int) (from sender, taken [][]limit.Taken, err error) {
	if len(text) < 1+len(from.edge) || text[0] != noticeVersion {
		return from, nil, errNotice
	}
	text = text[1+copy(from.edge[:], text[1:]):]
	for _, field := range []*uint64{&from.number, &from.heard} {
		if *field, text = uvarint(text); text == nil {
			return from, nil, errNotice
		}
	}
	taken = make([][]limit.Taken, policies)
	for p := range taken {
		var keys uint64
		if keys, text = uvarint(text); keys > keysMax || text == nil {
			return from, nil, errNotice
		}
		for range keys {
			if len(text) < 8 {
				return from, nil, errNotice
			}
			t := limit.Taken{ID: binary.BigEndian.Uint64(text)}
			var tokens uint64
			if tokens, text = uvarint(text[8:]); tokens > tokensMax || text == nil {
				return from, nil, errNotice
			}
			t.Tokens = int64(tokens)
			taken[p] = append(taken[p], t)
		}
	}
	if len(text) > 0 {
		return from, nil, errNotice
	}
	return from, taken, nil
}

// uvarint cuts a number off a text. The rest is nil if there is none.
func uvarint(text []byte) (n uint64, rest []byte) {
	n, bytes := binary.Uvarint(text)
	if bytes <= 0 {
		return 0, nil
	}
	return n, text[bytes:]
}
