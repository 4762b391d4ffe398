// Package orderno makes the numbers that people have for their orders. A number is a permutation of the order's id under a
// key, so it shows neither time nor volume, needs no sequence and no table, and leads back to the id. Its last digit is a
// check digit.
package orderno

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"sluice/core/ids"
)

const (
	// KeyBytes is the length of the key.
	KeyBytes = 32
	// Digits is the length of every number: 19 digits for 63 bits, and the check digit.
	Digits = 20
	rounds = 10 // as in FF1 of NIST SP 800-38G
)

// ErrNumber means that a text is no order number. It holds no digit of it.
var ErrNumber = fmt.Errorf("an order number is %d digits, the last of which fits the others", Digits)

// Numbers makes and reads order numbers. A number does not tell its key: as long as there are orders, they need the key
// that they began with.
type Numbers struct{ block cipher.Block }

// New takes a key of KeyBytes random bytes.
func New(key []byte) (*Numbers, error) {
	if len(key) != KeyBytes {
		return nil, fmt.Errorf("the key of order numbers has %d bytes: want %d", len(key), KeyBytes)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errors.New("the key of order numbers: AES refuses it")
	}
	return &Numbers{block}, nil
}

// Of is the number of an order. What is no id has none.
func (n *Numbers) Of(order ids.Order) string {
	if order < 1 {
		return ""
	}
	v := n.walk(uint64(order), feistel.forward)
	var text [Digits]byte
	for i := Digits - 2; i >= 0; i-- {
		text[i] = '0' + byte(v%10)
		v /= 10
	}
	text[Digits-1] = '0' + check(text[:Digits-1])
	return string(text[:])
}

// Parse reads the number of an order: exactly Digits digits.
func (n *Numbers) Parse(text string) (ids.Order, error) {
	if len(text) != Digits {
		return 0, ErrNumber
	}
	var v uint64 // 19 digits fit
	for i := range Digits {
		if text[i] < '0' || text[i] > '9' {
			return 0, ErrNumber
		}
		if i < Digits-1 {
			v = v*10 + uint64(text[i]-'0')
		}
	}
	if v < 1 || v > math.MaxInt64 || check([]byte(text)) != 0 {
		return 0, ErrNumber
	}
	return ids.Order(n.walk(v, feistel.back)), nil
}

// walk goes along the cycle of a 64-bit permutation until it is back among the ids: so it is a permutation of these alone
// (Black and Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA 2002, section 4). Half of all values are ids, so it
// takes two steps on average. It ends: the value that it began with is an id.
func (n *Numbers) walk(v uint64, step func(feistel, uint64) uint64) uint64 {
	f := feistel{n.block, make([]byte, 2*aes.BlockSize)}
	copy(f.buf, "order_no") // another use of the key would have other blocks
	for {
		if v = step(f, v); v >= 1 && v <= math.MaxInt64 {
			return v
		}
	}
}

// feistel is a balanced Feistel network over two halves of 32 bits (Luby and Rackoff, How to Construct Pseudorandom
// Permutations from Pseudorandom Functions, SIAM Journal on Computing 17(2), 1988).
type feistel struct {
	cipher cipher.Block
	buf    []byte // the block to encipher, which has the label, the round and the half; and what it becomes
}

func (f feistel) forward(v uint64) uint64 {
	left, right := uint32(v>>32), uint32(v)
	for i := range rounds {
		left, right = right, left^f.round(i, right)
	}
	return uint64(left)<<32 | uint64(right)
}

func (f feistel) back(v uint64) uint64 {
	left, right := uint32(v>>32), uint32(v)
	for i := rounds - 1; i >= 0; i-- {
		left, right = right^f.round(i, left), left
	}
	return uint64(left)<<32 | uint64(right)
}

// round is the first 32 bits of AES over the block. No two rounds have a block in common.
func (f feistel) round(i int, half uint32) uint32 {
	f.buf[11] = byte(i)
	binary.BigEndian.PutUint32(f.buf[12:], half)
	f.cipher.Encrypt(f.buf[aes.BlockSize:], f.buf[:aes.BlockSize])
	return binary.BigEndian.Uint32(f.buf[aes.BlockSize:])
}
