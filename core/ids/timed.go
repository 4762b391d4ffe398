package ids

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"
)

// Timed are the ids that tell when they were made and which gene their user has. From the highest bit on: 41 bits of
// milliseconds since Epoch, 10 bits of gene, 12 random bits. So they are in the order of time, and month and shard follow
// from the id alone.
type Timed interface {
	Checkout | Order | Payment | Refund | Shipment | Case
	prefix() string
}

// The widths of the parts.
const (
	timeBits = 41
	geneBits = 10
	tailBits = 12
)

// Genes is the number of genes.
const Genes = 1 << geneBits

// Epoch is the first moment that an id can tell, and Latest is the last one, in 2093.
var (
	Epoch  = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)
	Latest = Epoch.Add((1<<timeBits - 1) * time.Millisecond)
)

// Gene is a hash of a user id, 0 to Genes-1. All that a user buys has the user's gene.
type Gene uint16

// GeneOf is the gene of a user: the first 10 bits of the SHA-256 of the id as 8 bytes, big-endian. The function must never
// change, because ids contain the gene and rows are where it says.
func GeneOf(user int64) Gene {
	return Gene(Hash(binary.BigEndian.AppendUint64(make([]byte, 0, 8), uint64(user))))
}

// Hash is the first 10 bits of the SHA-256 of a value. The function must never change, because rows are where it says.
func Hash(value []byte) uint16 {
	sum := sha256.Sum256(value)
	return binary.BigEndian.Uint16(sum[:]) >> (16 - geneBits)
}

// Draw makes a new id. A second of the same millisecond, gene and kind is the same one in 4,096 cases: the caller draws
// again if the id is taken.
func Draw[T Timed](at time.Time, gene Gene) (T, error) {
	var random [2]byte
	_, _ = rand.Read(random[:]) // it never fails
	return join[T](at, gene, binary.BigEndian.Uint16(random[:]))
}

// OfReservation makes the id of what a reservation became, from the time at which it was made and the gene of its user.
// A redelivered event gets the same id again. The caller tries 0, 1, 2 and so on until the id is free, or is taken by the
// same reservation.
func OfReservation[T Timed](made time.Time, gene Gene, reservation [16]byte, try uint8) (T, error) {
	var id T
	text := append(make([]byte, 0, 32), id.prefix()...)
	text = append(append(text, reservation[:]...), try)
	sum := sha256.Sum256(text)
	return join[T](made, gene, binary.BigEndian.Uint16(sum[:]))
}

func join[T Timed](at time.Time, gene Gene, tail uint16) (T, error) {
	ms := at.UnixMilli() - Epoch.UnixMilli()
	if ms < 1 || bits.Len64(uint64(ms)) > timeBits || gene >= Genes {
		return 0, fmt.Errorf("no id has the time %s and the gene %d: want a time after %s and until %s, and a gene of 0 to %d",
			at.UTC().Format(time.RFC3339), gene, Epoch.Format(time.DateOnly), Latest.Format(time.DateOnly), Genes-1)
	}
	return T(ms<<(geneBits+tailBits) | int64(gene)<<tailBits | int64(tail>>(16-tailBits))), nil
}

// At is when an id was made, in UTC to the millisecond.
func At[T Timed](id T) time.Time {
	return time.UnixMilli(Epoch.UnixMilli() + int64(id)>>(geneBits+tailBits)&(1<<timeBits-1)).UTC()
}

// GeneIn is the gene that an id contains.
func GeneIn[T Timed](id T) Gene { return Gene(id >> tailBits & (Genes - 1)) }
