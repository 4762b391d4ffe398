// Package localstore is an edge's memory across restarts: a file of records. It lets a restarted edge know something
// before it asks anyone. The edge can rebuild all records from elsewhere. The file must never be the only home of an
// answer, because the store throws away a damaged file, a file of another program, and records that find no room on a
// full disk.
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
	// grownMax is how many bytes the store appends before it drops the old records from the file.
	grownMax = 128 << 20
)

// damagedSuffix ends the name of a file that the store has moved aside.
const damagedSuffix = ".damaged"

// Store is the open file. It is safe for concurrent use.
type Store struct {
	path string
	lock *dirlock.Lock
	log  *slog.Logger

	mu      sync.RWMutex
	db      *buntdb.DB        // nil if it broke: the next record makes the file anew
	grown   int64             // bytes of the file since it was last made anew
	waiting map[string]record // by key: records that the file did not take
	why     error             // why it did not take the last of them
}

// record is a key with its data.
type record struct {
	key, sealed string
	until       time.Time // when it ends; zero: never
}

// Open opens the file at path. It makes the file and its directory if they do not exist. Until the store is closed it
// owns the directory, because two writers would ruin the file. If it cannot read the file, it moves it aside, starts
// empty and logs that. The caller closes the store.
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

// Save keeps data under a key. A ttl of zero keeps it for ever. The version belongs to the writer: Load returns only
// records of the version that it is asked for.
//
// Save fails if the directory does not belong to the store any more. Nobody would find the record, and it would
// overwrite the file of the new owner. Save also fails if the file does not take the record, for example on a full
// disk. Later calls of Save then try it again. Until that succeeds the file has no record under the key, because
// the one before may be too old to trust.
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
		if p := recover(); p != nil { // buntdb could not undo a torn record; it holds its lock for ever
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
	// One record per transaction: buntdb does not frame transactions, so half of a torn one would be there.
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

// renew writes the file anew, from a new record and the old ones. It overwrites the old file, because nothing else makes
// room on a full disk. It writes small records first. Records that find no room wait. The error is about the new record.
func (s *Store) renew(newest record) error {
	records := s.records()
	records = append(slices.DeleteFunc(records, func(r record) bool { return r.key == newest.key }), newest)
	slices.SortStableFunc(records, func(a, b record) int { return cmp.Compare(len(a.sealed), len(b.sealed)) })
	if s.db != nil {
		_ = s.db.Close() // records has everything in it
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
		if err != nil { // all that follow are larger, and find no room either
			s.waiting[r.key], s.why = r, err
		}
		if r.key == newest.key {
			failed = err
		}
	}
	return failed
}

// records returns the records of the file.
func (s *Store) records() (records []record) {
	if s.db == nil {
		return nil
	}
	_ = s.db.View(func(tx *buntdb.Tx) error { // it fails if there is nothing
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

// retry writes the records that wait.
func (s *Store) retry() {
	for _, r := range s.waiting {
		if err := s.put(r); err != nil {
			s.why = err
			return
		}
	}
}

// FaultWords are the words of the faults that Faults can return.
var FaultWords = []string{"write"}

// Faults returns a fault while records wait for the file.
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

// Load returns the data under a key. It returns false if there is none of that version, or if it is damaged.
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
