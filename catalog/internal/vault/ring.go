package vault

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"

	"sluice/core/lifecycle"
	"sluice/core/stock"
	"sluice/core/text"
)

// lookEvery bounds how often a file is looked at.
const lookEvery = time.Second

// Ring has the keys of a file. It reads the file again when it has changed, so that a rotation needs no restart: before it
// wraps a key, and when it meets a key that it does not know. If the file is gone or spoilt, it keeps the keys that it has.
type Ring struct {
	path string
	now  func() time.Time
	held atomic.Pointer[keys]

	mu      sync.Mutex
	serves  []*Vault
	looked  time.Time
	as      os.FileInfo // of the file that was read
	trouble *lifecycle.Trouble
}

// ReadRing reads a key file.
func ReadRing(path string, log *slog.Logger) (*Ring, error) {
	r := &Ring{path: path, now: time.Now, trouble: lifecycle.NewTrouble(log, "read the key file of the vault again")}
	info, k, err := read(path)
	if err != nil {
		return nil, err
	}
	r.as = info
	r.held.Store(k)
	return r, nil
}

// serve notes a vault that has its keys wrapped by the file.
func (r *Ring) serve(v *Vault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serves = append(r.serves, v)
}

func (r *Ring) vaults() []*Vault {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.serves)
}

func read(path string) (os.FileInfo, *keys, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, nil, fmt.Errorf("read key file %w", text.OfFile(err))
	}
	info, err := file.Stat()
	var held []byte
	if err == nil {
		held, err = io.ReadAll(io.LimitReader(file, fileBytesMax+1))
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, nil, fmt.Errorf("read key file %w", text.OfFile(err))
	}
	k, err := parse(held)
	clear(held)
	if err != nil {
		return nil, nil, fmt.Errorf("read key file %s: %w", path, err)
	}
	return info, k, nil
}

// look reads the file again if it is another one than before.
func (r *Ring) look() *keys {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.Sub(r.looked) >= lookEvery {
		r.looked = now
		r.trouble.Saw(r.again())
	}
	return r.held.Load()
}

func (r *Ring) again() error {
	if info, err := os.Stat(r.path); err == nil && os.SameFile(info, r.as) && info.ModTime().Equal(r.as.ModTime()) && info.Size() == r.as.Size() {
		return nil
	}
	info, k, err := read(r.path)
	if err != nil {
		return err
	}
	if r.held.Load().index("", "", "") != k.index("", "", "") {
		return fmt.Errorf("%s has another indexing key than before: what was looked up by the old one would not be found", r.path)
	}
	r.as = info
	r.held.Store(k)
	return nil
}

// primary is the key whose time it is to wrap.
func (r *Ring) primary() (id uint32, key tink.AEAD) { return r.look().primary(r.now()) }

// unwrap opens a data key.
func (r *Ring) unwrap(by uint32, wrapped, about []byte) ([]byte, error) {
	k := r.held.Load()
	if !k.has(by) {
		if k = r.look(); !k.has(by) {
			return nil, fmt.Errorf("%w: it is wrapped by key %d, which %s does not have: give this process the file that has it", stock.ErrNotApplied, by, r.path)
		}
	}
	key, err := k.first.Decrypt(wrapped, about)
	if err != nil {
		return nil, ErrSealed
	}
	return key, nil
}

// Generate makes a new key file, which only its owner can read. An existing file is an error.
func Generate(path string) (id uint32, err error) {
	k, err := generate()
	if err != nil {
		return 0, err
	}
	id, _ = k.primary(time.Time{})
	return id, create(path, k)
}

// ErrNotWritten means that the disk has no room for a key file, or is broken.
var ErrNotWritten = errors.New("key file not written")

func create(path string, k *keys) error {
	encoded, err := k.encode()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return fmt.Errorf("create key file %w", text.OfFile(err))
	}
	if _, err = file.Write(encoded); err == nil {
		err = file.Sync()
	}
	clear(encoded)
	if err = errors.Join(err, file.Close(), syncDir(filepath.Dir(path))); err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrNotWritten, err), os.Remove(path))
	}
	return nil
}

func syncDir(path string) error {
	dir, err := os.Open(path) //nolint:gosec // the operator names the file in it
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Rotate gives the file a new key, which wraps from a time on. Until then every process that wraps or opens has to have the
// file.
func Rotate(path string, after time.Duration) (id uint32, from time.Time, err error) {
	now := time.Now()
	err = change(path, func(k *keys) (*keys, error) {
		changed, made, err := k.rotated(now, now.Add(after))
		if err == nil {
			id, from = made, changed.next.From
		}
		return changed, err
	})
	return id, from, err
}

// change puts a changed file in the place of a file at once. The new one is beside it first, under a name that only one can
// take, so that no two changes meet.
func change(path string, do func(*keys) (*keys, error)) error {
	beside := path + ".new"
	if _, err := os.Lstat(beside); err == nil {
		return fmt.Errorf("%s is there: another change is under way, or was killed: then remove it", beside)
	}
	info, k, err := read(path)
	if err != nil {
		return err
	}
	changed, err := do(k)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := create(beside, changed); err != nil {
		return err
	}
	err = likeBefore(beside, info)
	if err == nil {
		err = os.Rename(beside, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("replace key file %w", text.OfFile(err)), os.Remove(beside))
	}
	return syncDir(filepath.Dir(path))
}

// likeBefore gives the new file the owner and the rights of the old one: a service that could read it still can.
func likeBefore(path string, old os.FileInfo) error {
	if of, ok := old.Sys().(*syscall.Stat_t); ok && (int(of.Uid) != os.Geteuid() || int(of.Gid) != os.Getegid()) {
		if err := os.Chown(path, int(of.Uid), int(of.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(path, old.Mode().Perm())
}
