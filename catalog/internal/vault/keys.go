package vault

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const (
	// IndexBytes is the length of a blind index.
	IndexBytes = 32

	fileBytesMax = 64 << 10
	wrappingMax  = 16 // keys of a file that wrap or have wrapped
	// noKey is the id that no wrapping key has.
	noKey = 0
)

// file is a key file: two key sets as tink writes them.
type file struct {
	Wrapping jsontext.Value `json:"wrapping"`       // AEADs. The primary one wraps, all of them open
	Next     *next          `json:"next,omitempty"` // the one that will wrap
	Indexing jsontext.Value `json:"indexing"`       // one PRF
}

// next is a key that wraps from a time on, so that all processes can open what it wraps before the first one uses it.
type next struct {
	ID   uint32    `json:"key_id"`
	From time.Time `json:"from"`
}

// keys are the keys of a file.
type keys struct {
	wrapping, indexing *keyset.Handle
	next               *next

	first, second tink.AEAD // second: with next as its primary key
	indexer       *prf.Set
}

// generate makes the keys of a new file.
func generate() (*keys, error) {
	wrapping, err1 := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	indexing, err2 := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	return newKeys(wrapping, indexing, nil)
}

// errForm says nothing of what the file has: it is secret.
var errForm = errors.New("it is no key file of sluice catalog vault keygen")

func parse(text []byte) (*keys, error) {
	if len(text) > fileBytesMax {
		return nil, fmt.Errorf("it has more than %d bytes", fileBytesMax)
	}
	var f file
	if err := json.Unmarshal(text, &f, json.RejectUnknownMembers(true)); err != nil {
		return nil, errForm
	}
	wrapping, err1 := handle(f.Wrapping)
	indexing, err2 := handle(f.Indexing)
	if err1 != nil || err2 != nil {
		return nil, errForm
	}
	return newKeys(wrapping, indexing, f.Next)
}

func handle(text []byte) (*keyset.Handle, error) {
	if len(text) == 0 {
		return nil, errForm
	}
	return insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
}

func newKeys(wrapping, indexing *keyset.Handle, n *next) (*keys, error) {
	k := &keys{wrapping: wrapping, indexing: indexing, next: n}
	if wrapping.Len() > wrappingMax || indexing.Len() != 1 {
		return nil, fmt.Errorf("it has %d wrapping and %d indexing keys: want at most %d, and 1", wrapping.Len(), indexing.Len(), wrappingMax)
	}
	if k.has(noKey) {
		return nil, errors.New("a key has the id 0: make another file")
	}
	var err error
	if k.first, err = aead.New(wrapping); err != nil {
		return nil, errForm // keys of another kind
	}
	if k.indexer, err = prf.NewPRFSet(indexing); err != nil {
		return nil, errForm
	}
	if _, err = k.indexer.ComputePrimaryPRF(nil, IndexBytes); err != nil {
		return nil, errForm // one whose indexes are too short
	}
	if n == nil {
		return k, nil
	}
	later, err := k.withPrimary(n.ID)
	if err != nil {
		return nil, fmt.Errorf("its next key %d is not in it", n.ID)
	}
	if k.second, err = aead.New(later); err != nil {
		return nil, errForm
	}
	return k, nil
}

func (k *keys) withPrimary(id uint32) (*keyset.Handle, error) {
	m := keyset.NewManagerFromHandle(k.wrapping)
	if err := m.SetPrimary(id); err != nil {
		return nil, err
	}
	return m.Handle()
}

// encode is the text of the file.
func (k *keys) encode() ([]byte, error) {
	f := file{Next: k.next}
	for _, set := range []struct {
		from *keyset.Handle
		to   *jsontext.Value
	}{{k.wrapping, &f.Wrapping}, {k.indexing, &f.Indexing}} {
		var text bytes.Buffer
		if err := insecurecleartextkeyset.Write(set.from, keyset.NewJSONWriter(&text)); err != nil {
			return nil, fmt.Errorf("encode keys: %w", err)
		}
		*set.to = text.Bytes()
	}
	text, err := json.Marshal(f, jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("encode keys: %w", err)
	}
	return append(text, '\n'), nil
}

// ids are those of all wrapping keys.
func (k *keys) ids() (ids []uint32) {
	for _, key := range k.wrapping.KeysetInfo().GetKeyInfo() {
		ids = append(ids, key.GetKeyId())
	}
	return ids
}

func (k *keys) has(id uint32) bool { return slices.Contains(k.ids(), id) }

// primary is the key that wraps at a time.
func (k *keys) primary(now time.Time) (id uint32, by tink.AEAD) {
	if k.next != nil && !now.Before(k.next.From) {
		return k.next.ID, k.second
	}
	return k.wrapping.KeysetInfo().GetPrimaryKeyId(), k.first
}

// index computes the index of a value that an owner calls by a name.
func (k *keys) index(owner, name, value string) (sum [IndexBytes]byte) {
	text, err := k.indexer.ComputePrimaryPRF([]byte("sluice index\x00"+owner+"\x00"+name+"\x00"+value), IndexBytes)
	if err != nil {
		panic(err) // HMAC-SHA256 has 32 bytes of output
	}
	copy(sum[:], text)
	return sum
}

// rotated adds a key that wraps from a time on. The one before it wraps until then.
func (k *keys) rotated(now, from time.Time) (*keys, uint32, error) {
	settled, err := k.settled(now)
	if err != nil {
		return nil, 0, err
	}
	if settled.next != nil {
		return nil, 0, fmt.Errorf("key %d has not begun to wrap: it will at %s", settled.next.ID, settled.next.From.UTC().Format(time.RFC3339))
	}
	m := keyset.NewManagerFromHandle(settled.wrapping)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, 0, fmt.Errorf("make a key: %w", err)
	}
	wrapping, err := m.Handle()
	if err != nil {
		return nil, 0, fmt.Errorf("make a key: %w", err)
	}
	rotated, err := newKeys(wrapping, k.indexing, &next{id, from.UTC().Truncate(time.Second)})
	return rotated, id, err
}

// settled makes a next key whose time has come the primary one.
func (k *keys) settled(now time.Time) (*keys, error) {
	if k.next == nil || now.Before(k.next.From) {
		return k, nil
	}
	wrapping, err := k.withPrimary(k.next.ID)
	if err != nil {
		return nil, err
	}
	return newKeys(wrapping, k.indexing, nil)
}

// without leaves a key out that wraps no more.
func (k *keys) without(id uint32, now time.Time) (*keys, error) {
	settled, err := k.settled(now)
	if err != nil {
		return nil, err
	}
	m := keyset.NewManagerFromHandle(settled.wrapping)
	if err := m.Delete(id); err != nil {
		return nil, fmt.Errorf("key %d cannot be dropped: %w", id, err)
	}
	wrapping, err := m.Handle()
	if err != nil {
		return nil, err
	}
	return newKeys(wrapping, k.indexing, settled.next)
}
