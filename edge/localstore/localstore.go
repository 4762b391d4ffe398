// Package localstore is an edge's memory across restarts: a file of records that can all be rebuilt
// from elsewhere, so that a restarted edge is warm before it asks anyone. It must never be the only
// home of an answer: a damaged file, or one that another program left, is thrown away, and so is what finds no
// room on a full disk.
package localstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tidwall/buntdb"

	"sluice/core/dirlock"
	"sluice/core/telemetry"
)

// Bounds of the file.
const (
	recordMax = 64 << 20
	// grownMax is how much is written to the file before its old records are dropped from it.
	grownMax = 128 << 20
)

// damagedSuffix ends the name of a file that was moved aside.
const damagedSuffix = ".damaged"

// Store is the open file. It is safe for concurrent use.
type Store struct {
	path string
	lock *dirlock.Lock
	log  *slog.Logger

	mu      sync.RWMutex
	db      *buntdb.DB        // nil if it broke: the next record makes the file anew
	grown   int64             // bytes of the file since it was last made anew
	waiting map[string]record // by key: what the file did not take
	why     error             // it did not take the last of them
}

// record is what is kept under a key.
type record struct {
	key, sealed string
	until       time.Time // it is of use; the zero value is for good
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
		if err := os.Rename(path, path+damagedSuffix); err != nil {
			return nil, fmt.Errorf("open local store: %w", err)
		}
		if db, err = open(path); err != nil {
			return nil, fmt.Errorf("open local store: %w", err)
		}
	}
	// Earlier runs may have left much behind.
	return &Store{path: path, db: db, log: log, grown: sizeOf(path), waiting: map[string]record{}}, nil
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
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	if err = errors.Join(err, s.lock.Release()); err != nil {
		return fmt.Errorf("close local store: %w", err)
	}
	return nil
}

// Save keeps a record under a key. A ttl of zero keeps it for good. The version is the writer's: Load
// gives back only records of the version asked for. It fails if the directory is no longer the store's:
// nobody would find the record, and it would overwrite the file of whoever has the directory now. A record that
// the file does not take, as on a full disk, is an error too; it is tried again with those that are saved later,
// and until then the file has none under its key: what was there before may be too old to be trusted.
func (s *Store) Save(key string, version uint32, data []byte, ttl time.Duration) error {
	if len(data) > recordMax {
		return fmt.Errorf("save %q: %d bytes, want at most %d", key, len(data), recordMax)
	}
	r := record{key: key, sealed: seal(key, version, data)}
	if ttl > 0 {
		r.until = time.Now().Add(ttl)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.lock.Check(); err != nil {
		return fmt.Errorf("save %q: %w", key, err)
	}
	err := s.put(r)
	if err != nil || s.grown >= grownMax {
		err = s.renew(r)
	}
	if err != nil {
		return fmt.Errorf("save %q: %w", key, err)
	}
	s.retry()
	return nil
}

// put appends a record to the file, or leaves the file as it was.
func (s *Store) put(r record) (err error) {
	defer func() {
		if p := recover(); p != nil { // it cannot take a torn record back, and holds its lock for ever
			s.db, err = nil, fmt.Errorf("write to local store: %v", p)
		}
	}()
	if s.db == nil {
		return buntdb.ErrDatabaseClosed
	}
	var opts *buntdb.SetOptions
	if !r.until.IsZero() {
		opts = &buntdb.SetOptions{Expires: true, TTL: max(1, time.Until(r.until))}
	}
	// One record per transaction: buntdb does not frame transactions, so a torn one would be half
	// there.
	err = s.db.Update(func(tx *buntdb.Tx) error {
		_, _, err := tx.Set(r.key, r.sealed, opts)
		return err
	})
	if err == nil {
		s.grown += int64(len(r.sealed))
		delete(s.waiting, r.key)
	}
	return err
}

// renew makes the file anew, of a new record and those that there were. It overwrites the old one: on a full disk nothing
// else makes room. Small records are the first to be written; those that find no room wait. The error is that of
// the new one.
func (s *Store) renew(newest record) error {
	records := s.records()
	records = append(slices.DeleteFunc(records, func(r record) bool { return r.key == newest.key }), newest)
	slices.SortStableFunc(records, func(a, b record) int { return cmp.Compare(len(a.sealed), len(b.sealed)) })
	if s.db != nil {
		_ = s.db.Close() // what it has is in memory
	}
	_ = os.Remove(s.path + damagedSuffix)
	var err error
	if err = os.Truncate(s.path, 0); err == nil || errors.Is(err, fs.ErrNotExist) {
		s.db, err = open(s.path)
	}
	if err != nil {
		s.db = nil
	}
	s.grown = 0
	var failed error
	for _, r := range records {
		if err == nil {
			err = s.put(r)
		}
		if err != nil { // a bigger one finds no room either
			s.waiting[r.key], s.why = r, err
		}
		if r.key == newest.key {
			failed = err
		}
	}
	return failed
}

// records are those of the file.
func (s *Store) records() (records []record) {
	if s.db == nil {
		return nil
	}
	_ = s.db.View(func(tx *buntdb.Tx) error { // it fails where there is nothing
		return tx.Ascend("", func(key, sealed string) bool {
			r := record{key: key, sealed: sealed}
			if left, err := tx.TTL(key); err == nil && left >= 0 {
				r.until = time.Now().Add(left)
			}
			records = append(records, r)
			return true
		})
	})
	return records
}

// retry writes what has been waiting.
func (s *Store) retry() {
	for _, r := range s.waiting {
		if err := s.put(r); err != nil {
			s.why = err
			return
		}
	}
}

// FaultWords are the words that Faults can tell.
var FaultWords = []string{"write"}

// Faults tells that records wait to be written.
func (s *Store) Faults(context.Context) ([]telemetry.Fault, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.waiting) == 0 {
		return nil, nil
	}
	keys := slices.Sorted(maps.Keys(s.waiting))
	return []telemetry.Fault{{
		Word:  "write",
		Found: fmt.Sprintf("%s does not take %d records, the first of them %s: %v; a restarted edge will not know them", filepath.Dir(s.path), len(keys), keys[0], s.why),
		Do:    "make room there, or see what else is wrong with its disk: the edge sells on, and tries again",
	}}, nil
}

// Load is the record under a key, if there is one of that version and undamaged.
func (s *Store) Load(key string, version uint32) ([]byte, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return nil, false
	}
	var sealed string
	err := s.db.View(func(tx *buntdb.Tx) error {
		var err error
		sealed, err = tx.Get(key)
		return err
	})
	if err != nil {
		return nil, false
	}
	data, ok := unseal(key, version, sealed)
	if !ok {
		s.log.Warn("local record is damaged or of another version: ignored", "key", key)
	}
	return data, ok
}
