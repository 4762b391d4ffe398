package archive

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"sluice/core/ledger"
)

// load has the events and repairs that leave MySQL with one file.
type load struct {
	cells   []*stretch
	repairs []repair
}

// batch writes a file, reads it back, and deletes what is in it.
func (a *archiver) batch(ctx context.Context, some load) error {
	if a.DryRun {
		a.count(some)
		return nil
	}
	id, err := a.nextFile(ctx)
	if err != nil {
		return err
	}
	var nonce [4]byte
	_, _ = rand.Read(nonce[:]) // never fails
	name := fmt.Sprintf("%s-%09d-%s"+suffix, a.Deployment, id, hex.EncodeToString(nonce[:]))
	path := filepath.Join(a.Dir, name)
	sum, err := a.file(id, path+partial, some)
	if err == nil {
		err = a.commit(ctx, ledger.ArchiveFile{ID: id, Name: name, SHA256: sum}, some)
	}
	if errors.Is(err, ErrMoved) {
		return errors.Join(err, removed(path+partial))
	}
	if err != nil {
		return err // the file stays for the next run, because nobody may know whether the commit has happened
	}
	if err := a.Step("committed"); err != nil {
		return err
	}
	if err := finish(path); err != nil {
		return err
	}
	a.count(some)
	a.done.Files = append(a.done.Files, name)
	return nil
}

// finish gives a file its name, as its rows are deleted.
func finish(path string) error {
	if err := os.Rename(path+partial, path); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func (a *archiver) count(some load) {
	a.done.Cells += int64(len(some.cells))
	a.done.Repairs += int64(len(some.repairs))
	for _, s := range some.cells {
		a.done.Events += int64(len(s.events))
		a.done.Kept += int64(len(s.fold.Kept()))
		a.done.Reservations += int64(len(s.fold.ended))
	}
}

// file writes a file and reads it back. The copy must have the same events, and each cell's events must add up to the
// same checkpoint.
func (a *archiver) file(id int64, path string, some load) (sum [32]byte, err error) {
	if err := a.Step("write"); err != nil {
		return sum, err
	}
	content, err := fileOf(Header{
		File: id, Deployment: a.Deployment, Ledger: a.ledger, Before: a.Before.UTC(),
		MadeAt: time.Now().UTC().Truncate(time.Second),
	}, some)
	if err != nil {
		return sum, err
	}
	if err := write(path, content); err != nil {
		return sum, errors.Join(err, removed(path)) // gives a full disk its room back
	}
	if err := syncDir(a.Dir); err != nil {
		return sum, err
	}
	if err := a.Step("written"); err != nil {
		return sum, err
	}
	i := 0
	checked, err := Check(path, func(s *Section, events []ledger.Recorded) error {
		if i == len(some.cells) {
			return fmt.Errorf("%w: %v was not written", ErrFile, s.Cell())
		}
		want := some.cells[i]
		i++
		return want.readBack(s, events)
	})
	if err == nil && i != len(some.cells) {
		err = fmt.Errorf("%w: %d of %d cells", ErrFile, i, len(some.cells))
	}
	if err == nil {
		err = sameRepairs(some.repairs, checked.Repairs)
	}
	if err != nil {
		return sum, fmt.Errorf("read %s back: %w", path, err)
	}
	return checked.SHA256, a.Step("verified")
}

// readBack compares a section of a file with the events that were written to it.
func (one *stretch) readBack(s *Section, events []ledger.Recorded) error {
	to := one.fold.Checkpoint()
	if s.Cell() != to.Cell || s.From != stateOf(&one.base) || s.To != stateOf(&to) || !slices.Equal(events, one.events) {
		return fmt.Errorf("%w: it has other events of %v than were written", ErrFile, to.Cell)
	}
	fold, err := NewFold(one.base, one.kept, one.buyers)
	for i := 0; err == nil && i < len(events); i++ {
		err = fold.Apply(&events[i])
	}
	if err != nil {
		return err
	}
	for id := range fold.ended { // whose rows stay
		if _, leaves := one.fold.ended[id]; !leaves {
			delete(fold.ended, id)
		}
	}
	fold.aside = one.fold.aside
	if differs := fold.same(one.fold); differs != "" {
		return fmt.Errorf("%w: %v: %s", ErrFile, to.Cell, differs)
	}
	return nil
}

func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// tidy finishes what an earlier run left behind. It gives a file its final name if the file's rows were deleted. It
// removes other unfinished files, because the ledger still has all their rows.
func (a *archiver) tidy(ctx context.Context) error {
	left, err := filepath.Glob(filepath.Join(escape(a.Dir), "*"+partial))
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	for _, path := range left {
		id, ours := a.numberOf(filepath.Base(path))
		if !ours {
			continue
		}
		file, err := a.books.ArchiveFile(ctx, id)
		if err != nil {
			return err
		}
		path = strings.TrimSuffix(path, partial)
		switch {
		case file != nil && file.Name == filepath.Base(path):
			err = finish(path)
		case a.others(path + partial):
			a.Log.Warn("this file is of another database: give each a directory of its own", "file", path+partial)
		default:
			err = removed(path + partial)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// others reports whether a file was written for another database of the same name. Only that database knows whether
// the rows have left. A file without a whole header was never finished, and is nobody's.
func (a *archiver) others(path string) bool {
	file, err := os.Open(path) //nolint:gosec // G304: of the archive's directory
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	r, err := NewReader(file)
	_ = file.Close() // it was only read
	return err == nil && r.Header.Ledger != a.ledger
}

var special = regexp.MustCompile(`[*?\[\\]`)

// escape returns a pattern that matches a path literally.
func escape(path string) string { return special.ReplaceAllString(path, `\$0`) }

// numberOf is the number in the name of a file of this deployment.
func (a *archiver) numberOf(name string) (id int64, ours bool) {
	rest, ours := strings.CutPrefix(name, a.Deployment+"-")
	if !ours {
		return 0, false
	}
	var nonce string
	n, err := fmt.Sscanf(strings.TrimSuffix(rest, suffix+partial), "%09d-%8s", &id, &nonce)
	return id, err == nil && n == 2
}
