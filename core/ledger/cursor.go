package ledger

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/fnv"
)

// A cursor has the key of the last item that was shown. It does not count items, so an insert between two pages moves
// nothing. It also names the list that it belongs to, with its filters.

// scope condenses the name of a list and its filters.
func scope(list string, filter any) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %+v", list, filter) // a hash's Write never fails
	return h.Sum64()
}

// cursorOf makes a cursor from a key, which is a struct of fixed size.
func cursorOf(scope uint64, key any) string {
	data := binary.BigEndian.AppendUint64(nil, scope)
	data, err := binary.Append(data, binary.BigEndian, key)
	if err != nil {
		panic(err) // the keys are our own
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

// keyOf reads a cursor. An empty cursor is the zero key, which comes before all others.
func keyOf[K any](scope uint64, cursor string) (key K, err error) {
	if cursor == "" {
		return key, nil
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(data) != 8+binary.Size(key) || binary.BigEndian.Uint64(data) != scope ||
		base64.RawURLEncoding.EncodeToString(data) != cursor { // the decoder would accept line breaks
		return key, ErrCursor
	}
	if _, err := binary.Decode(data[8:], binary.BigEndian, &key); err != nil {
		return key, ErrCursor
	}
	return key, nil
}
