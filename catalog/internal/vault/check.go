package vault

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/tink"

	"sluice/core/db"
	"sluice/core/place"
	"sluice/core/stock"
)

// indexing is the id under which the proof of the indexing key is kept.
const indexing = noKey

// Check refuses a key file that is not the one of the database: a key that wraps there, or the indexing key, is missing or is
// another one. Without it a process would notice only when it opens a value, or never, because a value that is looked up by
// another index looks like a new one. It writes nothing: an empty database takes any file.
func (v *Vault) Check(ctx context.Context) error {
	_, err := v.check(ctx, v.Ring.look())
	return err
}

// Begin is Check for a process that is to write values: the file becomes the one of the places that are empty.
func (v *Vault) Begin(ctx context.Context) error {
	k := v.Ring.look()
	empty, err := v.check(ctx, k)
	if err != nil {
		return err
	}
	for _, p := range empty { // of two that begin with files of their own, the second one finds what the first has noted, in the first place
		if err := v.note(ctx, p, indexing, v.indexProof(k)); err != nil {
			return err
		}
		proofs, err := v.proofs(ctx, p)
		if err == nil {
			err = v.compare(p, k, proofs)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// check compares the keys of a file with all places, and returns those that are empty.
func (v *Vault) check(ctx context.Context, k *keys) (empty []place.Place, err error) {
	for _, p := range v.Places.All(v.Kind.shards) {
		proofs, err := v.proofs(ctx, p)
		if err != nil {
			return nil, err
		}
		if len(proofs) == 0 {
			empty = append(empty, p)
		}
		if err := v.compare(p, k, proofs); err != nil {
			return nil, err
		}
	}
	return empty, nil
}

// proofs are those of a place, by the ids of the keys.
func (v *Vault) proofs(ctx context.Context, p place.Place) (map[uint32][]byte, error) {
	proofs := map[uint32][]byte{}
	err := db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		var id uint32
		var proof []byte
		err := row.Scan(&id, &proof)
		proofs[id] = proof
		return err
	}, v.statements.proofs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("keys", v.Owner+"_key_proofs"+p.Suffix, err))
	}
	return proofs, nil
}

// compare compares the keys of a file with the proofs of a place.
func (v *Vault) compare(p place.Place, k *keys, proofs map[uint32][]byte) error {
	for id, proof := range proofs {
		var fault string
		switch {
		case id == indexing:
			if !bytes.Equal(proof, v.indexProof(k)) {
				fault = "its indexing key is another one"
			}
		case !k.has(id):
			fault = fmt.Sprintf("it lacks key %d", id)
		default:
			if _, err := k.first.Decrypt(proof, v.aboutProof()); err != nil {
				fault = fmt.Sprintf("its key %d is another one", id)
			}
		}
		if fault != "" {
			return fmt.Errorf("%s is not the key file of %s in place %s: %s: bring back the file in use, because nothing opens without its keys",
				v.Ring.path, v.Owner, p.Name, fault)
		}
	}
	return nil
}

func (v *Vault) aboutProof() []byte { return []byte("sluice proof\x00" + v.Owner) }

func (v *Vault) indexProof(k *keys) []byte {
	sum := k.index(v.Owner, "", "proof")
	return sum[:]
}

// prove notes, before a key wraps the first time in a place, that it does. The database refuses what a key wraps that has no
// proof. A process whose file lacks a key that others use notes nothing: it may have a key that was dropped.
func (v *Vault) prove(ctx context.Context, p place.Place, id uint32, key tink.AEAD) error {
	at := provedKey{p.Name, id}
	if _, done := v.proved.Load(at); done {
		return nil
	}
	proofs, err := v.proofs(ctx, p)
	if err == nil {
		err = v.compare(p, v.Ring.held.Load(), proofs)
	}
	if err != nil {
		return err
	}
	proof, err := key.Encrypt(nil, v.aboutProof())
	if err != nil {
		return fmt.Errorf("note key %d: %w: %w", id, stock.ErrNotApplied, err)
	}
	if err := v.note(ctx, p, id, proof); err != nil {
		return err
	}
	v.proved.Store(at, true)
	return nil
}

func (v *Vault) note(ctx context.Context, p place.Place, id uint32, proof []byte) error {
	_, err := p.In(p.Writer()).ExecContext(ctx, v.statements.prove, id, proof)
	if err != nil && db.Answer(err) != db.AnswerDuplicate { // whoever was first has noted the same, or Check finds out
		return db.WriteError("note a key", err)
	}
	return nil
}

// provedKey is a key that has a proof in a place.
type provedKey struct {
	place string
	id    uint32
}
