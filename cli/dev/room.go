package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sluice/core/local"
)

// The space that must be free on the disk of a stack. With less, mariadbd waits or ends, redis-server refuses writes,
// and each says so in its own log.
const (
	roomToBegin = 256 << 20 // mariadbd makes a log of 128 MiB
	roomToStart = 64 << 20  // if there are data of an earlier run
	roomToRun   = 16 << 20
)

// errNoRoom means that a disk is so full that servers would not start.
var errNoRoom = errors.New("the disk is too full")

// checkRoom fails if the disk has too little room to start private servers.
func (s *stack) checkRoom(context.Context) error {
	redis := s.command.redis()
	need, database := int64(roomToStart), s.command.MySQLDSN == ""
	if redis.Places() != "" && !database && len(s.command.KafkaBrokers) > 0 {
		return nil // the stack writes little
	}
	if _, err := os.Stat(filepath.Join(s.dir, "mariadb", "data")); database && errors.Is(err, os.ErrNotExist) {
		need = roomToBegin
	}
	return noRoom(s.dir, need)
}

// noRoom returns an error if fewer bytes are free on the disk of a directory.
func noRoom(dir string, need int64) error {
	free, err := local.Room(dir)
	if err != nil || free >= need {
		return nil //nolint:nilerr // perhaps there is enough, on a system that does not say
	}
	return fmt.Errorf("%w: %d MiB are free in %s, and the servers of sluice dev need %d MiB: make room there, or choose another directory with --dir. Remove none of its data",
		errNoRoom, free>>20, dir, need>>20)
}

// withRoom adds to an error that the disk is full. A full disk is mostly the cause.
func withRoom(err, full error) error {
	if full == nil || errors.Is(err, errNoRoom) {
		return err
	}
	return fmt.Errorf("%w\n%w", err, full)
}

// watchRoom warns when the disk becomes full while servers run, and says when there is room again.
func (s *stack) watchRoom() {
	err := noRoom(s.dir, roomToRun)
	if full := err != nil; full != s.full {
		s.full = full
		if full {
			s.console.Notef("%v. Until then sales are refused or not written down; all goes on by itself", err)
		} else {
			s.console.Notef("there is room in %s again", s.dir)
		}
	}
}
