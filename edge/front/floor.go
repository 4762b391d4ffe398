package front

import (
	"sync"
	"sync/atomic"
)

const (
	// floorsMax is how many things of which events have told are remembered, in each of two halves.
	floorsMax = 1 << 16
	// settleMS is how long after an event an answer without a version may be of before it: the catalog's tree is up to a second old,
	// and clocks of edges may differ by another.
	settleMS = 2000
	// brieflyMS is how long such an answer is kept.
	brieflyMS = 200
)

// floor is what events have told of a thing.
type floor struct {
	version uint64 // the last one
	at      int64  // when it was told, in Unix ms
	hidden  bool   // shoppers see it no more
}

// floors remember what events have told, so that no older answer is kept, whenever it comes. They remember a bounded number of
// things: what was asked for before the oldest of them is taken for old.
type floors struct {
	changes atomic.Uint64 // so many events have told something new

	mu         sync.RWMutex
	young, old map[string]floor
	since      int64 // what was asked for before is old, in Unix ms
}

func newFloors() *floors { return &floors{young: map[string]floor{}, old: map[string]floor{}} }

// raise takes what an event tells of a thing, and reports whether it is news. An event that comes again, or late, tells nothing new. Version 0 is always new.
func (f *floors) raise(tag string, to floor) (news bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.of(tag)
	if to.version != 0 && to.version <= last.version {
		return false
	}
	to.at = max(to.at, last.at)
	if len(f.young) >= floorsMax {
		f.old, f.young, f.since = f.young, map[string]floor{}, max(f.since, newest(f.old)+settleMS)
	}
	f.young[tag] = to
	f.changes.Add(1)
	return true
}

func newest(of map[string]floor) (at int64) {
	for _, one := range of {
		at = max(at, one.at)
	}
	return at
}

// raiseAll makes all answers old that were asked for before.
func (f *floors) raiseAll(nowMS int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since = max(f.since, nowMS)
	f.changes.Add(1)
}

// of returns what is known of a thing. The caller holds the lock.
func (f *floors) of(tag string) floor {
	if one, ok := f.young[tag]; ok {
		return one
	}
	return f.old[tag]
}

// number changes whenever an event tells of the thing: who asks then does not wait for an answer to an earlier question.
func (f *floors) number(tag string) floor {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.of(tag)
}

// standing is how an answer stands to what events have told.
type standing int

const (
	current   standing = iota
	unsettled          // asked for so soon behind an event that it may be of before
	outdated
	hidden // what it shows is to be shown no more, not even as a stale answer
)

// judge compares an answer with all events so far.
func (f *floors) judge(a *Answer) standing {
	f.mu.RLock()
	defer f.mu.RUnlock()
	found := current
	if a.begun < f.since {
		found = outdated
	}
	for i, tag := range a.tags {
		if tag == "" {
			continue
		}
		to := f.of(tag)
		switch versioned := i == 0 && a.version != 0; {
		case versioned && a.version >= to.version:
		case to.hidden && a.Refusal == nil && (versioned || a.begun <= to.at):
			return hidden
		case versioned || a.begun <= to.at:
			found = outdated
		case a.begun < to.at+settleMS:
			found = max(found, unsettled)
		}
	}
	return found
}

// agrees reports whether an answer in memory, which was current or unsettled, is no older than what events have told. It looks again
// only after new events.
func (f *floors) agrees(a *Answer) standing {
	changes := f.changes.Load()
	if a.checked.Load() == changes {
		return current
	}
	found := f.judge(a)
	if found <= unsettled {
		a.checked.Store(changes)
		return current
	}
	return found
}
