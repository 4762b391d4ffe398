package cart

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"sluice/core/ids"
	"sluice/core/shard"
)

const (
	drawnBytes = 16 // that nobody guesses
	proofBytes = 16
	geneBytes  = 2
	shareBytes = geneBytes + 8
)

// Prover proves that the shop has drawn something. account.Secret is one.
type Prover interface {
	// ProveGuest is what only the shop can say about the drawn id of a guest's cart. It never changes.
	ProveGuest(id [drawnBytes]byte) [proofBytes]byte
	// ProveShare is the same for the id of a shared cart.
	ProveShare(id [shareBytes]byte) [proofBytes]byte
}

// guest is the drawn id of a guest's cart.
type guest [drawnBytes]byte

// shard is the logical shard that has the cart: the bits are drawn, so they spread evenly.
func (g guest) shard() shard.Shard {
	return shard.Shard{Kind: shard.Users, Number: binary.BigEndian.Uint16(g[:]) & (shard.Count - 1)}
}

// GuestToken is what only one guest has. It needs no row: the cart is made with its first line.
type GuestToken string

// draw fills with what nobody guesses.
func draw(into []byte) { _, _ = rand.Read(into) } // it never fails

// NewGuest draws a token.
func (c *Carts) NewGuest() GuestToken {
	var g guest
	draw(g[:])
	proof := c.prover.ProveGuest(g)
	return GuestToken(base64.RawURLEncoding.EncodeToString(append(g[:], proof[:]...)))
}

// open finds out whose cart a token is for. A token that the shop has not drawn is for none, so nobody has an easy one.
func (c *Carts) open(token GuestToken) (g guest, err error) {
	held, ok := decodeToken(string(token), drawnBytes+proofBytes)
	if !ok {
		return guest{}, malformed("", "want the token of a guest's cart")
	}
	copy(g[:], held)
	if proof := c.prover.ProveGuest(g); subtle.ConstantTimeCompare(proof[:], held[drawnBytes:]) != 1 {
		return guest{}, errUnknownToken
	}
	return g, nil
}

// shareID is the drawn id of a shared cart. It tells which shard has it, and so one of 1,024 parts of all users.
type shareID [shareBytes]byte

// newShare draws the id of a share of a user.
func newShare(user ids.User) (id shareID) {
	binary.BigEndian.PutUint16(id[:], shard.OfUser(int64(user)).Number)
	draw(id[geneBytes:])
	return id
}

// shard is that of the user.
func (id shareID) shard() shard.Shard {
	return shard.Shard{Kind: shard.Users, Number: binary.BigEndian.Uint16(id[:])}
}

// ShareToken is the secret part of the link of a shared cart. Tables have the id in it only.
type ShareToken string

// link is the token of a share.
func (c *Carts) link(id shareID) ShareToken {
	proof := c.prover.ProveShare(id)
	return ShareToken(base64.RawURLEncoding.EncodeToString(append(id[:], proof[:]...)))
}

// shared finds out which share a token is for.
func (c *Carts) shared(token ShareToken) (id shareID, err error) {
	held, ok := decodeToken(string(token), shareBytes+proofBytes)
	if !ok {
		return shareID{}, malformed("", "the share_token of the path: want the one of a link")
	}
	copy(id[:], held)
	if proof := c.prover.ProveShare(id); subtle.ConstantTimeCompare(proof[:], held[shareBytes:]) != 1 {
		return shareID{}, errUnknownShare
	}
	return id, nil
}

// decodeToken decodes so many bytes, in the one spelling that an encoder writes.
func decodeToken(text string, bytes int) ([]byte, bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(bytes) || strings.ContainsAny(text, "\r\n") { // the decoder would skip them
		return nil, false
	}
	held, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return held, err == nil
}
