package quota

import (
	"encoding/binary"
	"errors"

	"sluice/core/limit"
)

// A notice is what an edge tells the others, before it is sealed:
//
//	version 1, edge 8, and for each policy: number of keys, and for each key: id 8, tokens
//
// The number of keys and the tokens are unsigned varints.
const noticeVersion = 1

// edgeID tells running edges apart.
type edgeID [8]byte

// Bounds of a notice.
const (
	keysMax   = 256     // of a policy
	tokensMax = 1 << 31 // of a key
)

var errNotice = errors.New("not a notice of an edge")

// appendNotice appends a notice, with what was taken for each policy.
func appendNotice(dst []byte, edge edgeID, policies [][]limit.Taken) []byte {
	dst = append(dst, noticeVersion)
	dst = append(dst, edge[:]...)
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
func readNotice(text []byte, policies int) (edge edgeID, taken [][]limit.Taken, err error) {
	if len(text) < 1+len(edge) || text[0] != noticeVersion {
		return edge, nil, errNotice
	}
	text = text[1+copy(edge[:], text[1:]):]
	taken = make([][]limit.Taken, policies)
	for p := range taken {
		var keys uint64
		if keys, text = uvarint(text); keys > keysMax || text == nil {
			return edge, nil, errNotice
		}
		for range keys {
			if len(text) < 8 {
				return edge, nil, errNotice
			}
			t := limit.Taken{ID: binary.BigEndian.Uint64(text)}
			var tokens uint64
			if tokens, text = uvarint(text[8:]); tokens > tokensMax || text == nil {
				return edge, nil, errNotice
			}
			t.Tokens = int64(tokens)
			taken[p] = append(taken[p], t)
		}
	}
	if len(text) > 0 {
		return edge, nil, errNotice
	}
	return edge, taken, nil
}

// uvarint cuts a number off a text. The rest is nil if there is none.
func uvarint(text []byte) (n uint64, rest []byte) {
	n, bytes := binary.Uvarint(text)
	if bytes <= 0 {
		return 0, nil
	}
	return n, text[bytes:]
}
