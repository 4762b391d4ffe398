// Package localstore is an edge's memory across restarts: a file of records that can all be rebuilt
// from elsewhere, so that a restarted edge is warm before it asks anyone. It must never be the only
// home of an answer: a damaged file, or one that another program left, is thrown away.
package localstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tidwall/buntdb"

	"sluice/core/dirlock"
)

// Bounds of the file.
const (
	recordMax = 64 << 20
	// shrinkBytes is how much is written to the file before its old records are dropped from it.
	shrinkBytes = 128 << 20
)

// Store is the open file. It is safe for concurrent use.
type Store struct {
	db   *buntdb.DB
	lock *dirlock.Lock
	log  *slog.Logger

	mu    sync.Mutex
	grown int64 // bytes of the file since it was last shrunk
}

// Open opens the file at path and makes it, and its directory, where there is none. The directory is this
// store's alone until it is closed: two writers would ruin the file. What cannot be read is moved aside, and
// the store starts empty and says so. The caller closes it.
func Open(path string, log *slog.Logger) (*Store, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open local store: %w", err)
	}
	lock, err := dirlock.Acquire(dir)
	if errors.Is(err, dirlock.ErrTaken) {
		return nil, fmt.Errorf("open local store: %w: another edge uses it: stop that one, or give each a directory of its own", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open local store: %w", err)
	}
	s, err := openLocked(path, log)
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	s.lock = lock
	return s, nil
}

func openLocked(path string, log *slog.Logger) (*Store, error) {
	before := sizeOf(path)
	db, err := open(path)
	if err == nil && sizeOf(path) < before {
		log.Warn("local store ended within a record: its tail is lost", "path", path)
	}
	if err != nil {
		log.Warn("local store is damaged: starting empty", "path", path, "error", err)
		if err := os.Rename(path, path+".damaged"); err != nil {
			return nil, fmt.Errorf("open local store: %w", err)
		}
		if db, err = open(path); err != nil {
			return nil, fmt.Errorf("open local store: %w", err)
		}
	}
	return &Store{db: db, log: log, grown: sizeOf(path)}, nil // earlier runs may have left much behind
}

// sizeOf is 0 where there is no file.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func open(path string) (*buntdb.DB, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // G304: the operator chose it; made here because buntdb would let anyone read it
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	db, err := buntdb.Open(path)
	if err != nil {
		return nil, err
	}
	err = db.SetConfig(buntdb.Config{
		SyncPolicy:         buntdb.Never, // the checksums find what a power failure leaves
		AutoShrinkDisabled: true,         // it shrinks on a goroutine of its own, where a panic is fatal
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Close closes the file.
func (s *Store) Close() error {
	if err := errors.Join(s.db.Close(), s.lock.Release()); err != nil {
		return fmt.Errorf("close local store: %w", err)
	}
	return nil
}

// Save keeps a record under a key. A ttl of zero keeps it for good. The version is the writer's: Load
// gives back only records of the version asked for. It fails if the directory is no longer the store's:
// nobody would find the record, and shrinking would overwrite the file of whoever has the directory now.
func (s *Store) Save(key string, version uint32, data []byte, ttl time.Duration) error {
	if len(data) > recordMax {
		return fmt.Errorf("save %q: %d bytes, want at most %d", key, len(data), recordMax)
	}
	if err := s.lock.Check(); err != nil {
		return fmt.Errorf("save %q: %w", key, err)
	}
	var opts *buntdb.SetOptions
	if ttl > 0 {
		opts = &buntdb.SetOptions{Expires: true, TTL: ttl}
	}
	record := seal(key, version, data)
	// One record per transaction: buntdb does not frame transactions, so a torn one would be half
	// there.
	err := s.db.Update(func(tx *buntdb.Tx) error {
		_, _, err := tx.Set(key, record, opts)
		return err
	})
	if err != nil {
		return fmt.Errorf("save %q: %w", key, err)
	}
	return s.shrink(int64(len(record)))
}

// Load is the record under a key, if there is one of that version and undamaged.
func (s *Store) Load(key string, version uint32) ([]byte, bool) {
	var record string
	err := s.db.View(func(tx *buntdb.Tx) error {
		var err error
		record, err = tx.Get(key)
		return err
	})
	if err != nil {
		return nil, false
	}
	data, ok := unseal(key, version, record)
	if !ok {
		s.log.Warn("local record is damaged or of another version: ignored", "key", key)
	}
	return data, ok
}

// shrink drops old records from the file once enough was written.
func (s *Store) shrink(wrote int64) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grown += wrote; s.grown < shrinkBytes {
		return nil
	}
	s.grown = 0
	defer func() {
		if p := recover(); p != nil { // buntdb panics where it cannot rename the new file
			err = fmt.Errorf("shrink local store: %v", p)
		}
	}()
	if err := s.db.Shrink(); err != nil && !errors.Is(err, buntdb.ErrShrinkInProcess) {
		return fmt.Errorf("shrink local store: %w", err)
	}
	return nil
}

const sealBytes = 4 + 4

// seal puts the version and a checksum before the data. The checksum covers the key, so that a
// record never passes for another.
func seal(key string, version uint32, data []byte) string {
	record := make([]byte, sealBytes, sealBytes+len(data))
	binary.BigEndian.PutUint32(record[4:], version)
	record = append(record, data...)
	binary.BigEndian.PutUint32(record, checksum(key, record[4:]))
	return string(record)
}

func unseal(key string, version uint32, record string) ([]byte, bool) {
	b := []byte(record)
	if len(b) < sealBytes || binary.BigEndian.Uint32(b) != checksum(key, b[4:]) ||
		binary.BigEndian.Uint32(b[4:]) != version {
		return nil, false
	}
	return b[sealBytes:], true
}

func checksum(key string, data []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum([]byte(key), table), table, data)
}
