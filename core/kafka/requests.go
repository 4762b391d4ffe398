package kafka

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/segmentio/kafka-go/protocol"
)

// headBytes are the first bytes of each request: its size, what it asks, in which version of the protocol, and its number.
const headBytes = 12

var errUnasked = errors.New("an answer comes that no request asked for")

// kind says what a request asks for, in which version of the protocol.
type kind struct {
	key     protocol.ApiKey
	version int16
}

// requests reads what the client sends, and knows what the broker owes for it. A broker answers the requests of a connection in
// their order. A client of sluice sends none that gets no answer.
type requests struct {
	head []byte // of a request that has begun, up to headBytes
	rest int    // bytes of it that follow

	mu   sync.Mutex
	owed []request
}

type request struct {
	kind
	number int32
}

// note reads a chunk before it is sent.
func (r *requests) note(chunk []byte) {
	for len(chunk) > 0 {
		n := min(r.rest, len(chunk))
		r.rest -= n
		chunk = chunk[n:]
		n = min(headBytes-len(r.head), len(chunk))
		r.head = append(r.head, chunk[:n]...)
		chunk = chunk[n:]
		if len(r.head) == headBytes {
			r.owe()
		}
	}
}

// owe notes a request whose head is complete.
func (r *requests) owe() {
	asked := request{
		kind:   kind{key: protocol.ApiKey(binary.BigEndian.Uint16(r.head[4:])), version: int16(binary.BigEndian.Uint16(r.head[6:]))},
		number: int32(binary.BigEndian.Uint32(r.head[8:])),
	}
	r.rest = int(binary.BigEndian.Uint32(r.head)) + sizeBytes - headBytes
	r.head = r.head[:0]
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owed = append(r.owed, asked)
}

// sizeMax bounds the answer that comes next.
func (r *requests) sizeMax() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.owed) > 0 && r.owed[0].key == protocol.Fetch {
		return answerMax
	}
	return smallMax
}

// settle returns what the answer with this number is to.
func (r *requests) settle(number int32) (kind, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.owed) == 0 || r.owed[0].number != number {
		return kind{}, errUnasked
	}
	asked := r.owed[0].kind
	if r.owed = r.owed[1:]; len(r.owed) == 0 {
		r.owed = nil
	}
	return asked, nil
}
