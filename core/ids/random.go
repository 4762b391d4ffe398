package ids

import (
	"crypto/rand"
	"encoding/binary"
)

// Random draws one of the 2^63-1 ids, from 1 on, of things whose ids say nothing. Who finds it taken draws again.
func Random[T ~int64]() T {
	for {
		var random [8]byte
		_, _ = rand.Read(random[:]) // it never fails
		if id := T(binary.BigEndian.Uint64(random[:]) >> 1); id > 0 {
			return id
		}
	}
}
