package front

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"
)

const (
	// hotReads is how often an answer is read, since somebody looked, before it counts as hot.
	hotReads = 64
	// hotMax is how many targets are hot at once, and hotShare the part of the memory that they may take.
	hotMax   = 1000
	hotShare = 4
	// coolAfter is how many looks a target that is read less stays hot.
	coolAfter = 30
	hotEvery  = time.Second
	saveEvery = 10 * time.Second
	// renewBefore is the last part of a life, in which a hot answer is asked for again before it ends.
	renewBefore = 10
	// warmAtOnce is how many answers are asked for at once at the start.
	warmAtOnce = 4

	keyHot    = "front/hot"
	keyAnswer = "front/answer/"
)

// Local keeps records over a restart. Package localstore implements it.
type Local interface {
	Save(key string, version uint32, data []byte, ttl time.Duration) error
	Load(key string, version uint32) ([]byte, bool)
}

// hot are the targets that are read most. Their answers stay in memory, are renewed before they end, and are in the local store.
type hot struct {
	candidates chan string

	mu    sync.Mutex
	idle  map[string]int   // looks since each was read often
	saved map[string]int64 // when the answer in the local store was asked for
	bytes int
}

func newHot() *hot {
	return &hot{candidates: make(chan string, 256), idle: map[string]int{}, saved: map[string]int64{}}
}

func (h *hot) has(target string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.idle[target]
	return ok
}

func (h *hot) targets() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]string, 0, len(h.idle))
	for target := range h.idle {
		all = append(all, target)
	}
	slices.Sort(all)
	return all
}

// count counts a reading of an answer.
func (f *Front) count(a *Answer) {
	if a.read.Add(1) == hotReads {
		select {
		case f.hot.candidates <- a.target:
		default: // it comes again: whoever looks sets the count back
		}
	}
}

// runHot looks after hot answers, until ctx ends.
func (f *Front) runHot(ctx context.Context) {
	f.warm(ctx)
	look, save := time.NewTicker(hotEvery), time.NewTicker(saveEvery)
	defer look.Stop()
	defer save.Stop()
	for {
		select {
		case <-ctx.Done():
			f.saveHot()
			return
		case target := <-f.hot.candidates:
			f.heat(target)
		case <-look.C:
			f.lookAtHot()
		case <-save.C:
			f.saveHot()
		}
	}
}

// heat makes a target hot, if there is room.
func (f *Front) heat(target string) {
	a, ok := f.memory.GetIfPresent(target)
	if !ok || a.Refusal != nil {
		return
	}
	f.hot.mu.Lock()
	if _, is := f.hot.idle[target]; is {
		f.hot.idle[target] = 0
	} else if len(f.hot.idle) < hotMax && int64(f.hot.bytes+a.bytes()) <= f.cfg.MemoryMax/hotShare {
		f.hot.idle[target] = 0
		f.hot.bytes += a.bytes()
	}
	f.hot.mu.Unlock()
	f.pin(target)
}

// pin puts the answer to a target into memory again, so that it stays or not, as the target is hot or not.
func (f *Front) pin(target string) {
	a, ok := f.memory.GetIfPresent(target)
	if pinned := f.hot.has(target); ok && a.pinned != pinned {
		f.put(a.copy(pinned))
	}
}

// lookAtHot renews answers that end soon or have ended, and lets go what nobody reads any more.
func (f *Front) lookAtHot() {
	bytes := 0
	for _, target := range f.hot.targets() {
		a, ok := f.memory.GetIfPresent(target)
		reads := uint64(0)
		if ok {
			reads = a.read.Swap(0)
			bytes += a.bytes()
		}
		f.hot.mu.Lock()
		if f.hot.idle[target]++; reads > 0 {
			f.hot.idle[target] = 0
		}
		cool := !ok || f.hot.idle[target] >= coolAfter
		if cool {
			delete(f.hot.idle, target)
			delete(f.hot.saved, target)
		}
		f.hot.mu.Unlock()
		switch {
		case cool:
			f.pin(target)
		case f.floors.agrees(a) != current || f.nowMS() > a.until-(a.until-a.begun)/renewBefore:
			f.renew(a)
		}
	}
	f.hot.mu.Lock()
	f.hot.bytes = bytes
	f.hot.mu.Unlock()
}

// renew asks for an answer again, in the background.
func (f *Front) renew(a *Answer) {
	f.asking.DoChan("renew "+a.target, func() (any, error) { return f.fetch(a.again()) })
}

// again is the question for the answer of now.
func (a *Answer) again() question {
	return question{route: a.route, target: a.target, id: a.tags[0], renews: true} // a route whose tag is another does without the id
}

// saveHot writes hot answers to the local store, each once, and a list of them. A store that fails tells so itself.
func (f *Front) saveHot() {
	if f.cfg.Local == nil {
		return
	}
	targets := f.hot.targets()
	if len(targets) == 0 {
		return
	}
	ttl := f.cfg.Life + f.cfg.StaleMax
	for _, target := range targets {
		a, ok := f.memory.GetIfPresent(target)
		f.hot.mu.Lock()
		due := ok && f.hot.saved[target] != a.begun
		f.hot.mu.Unlock()
		if due && f.cfg.Local.Save(keyAnswer+target, recordVersion, a.record(), ttl) == nil {
			f.hot.mu.Lock()
			f.hot.saved[target] = a.begun
			f.hot.mu.Unlock()
		}
	}
	if list, err := json.Marshal(targets); err == nil {
		_ = f.cfg.Local.Save(keyHot, recordVersion, list, ttl)
	}
}

// warm takes what was hot before the start from the local store, and asks for it again. Until it has the answer, and once it knows what
// the events have told meanwhile, the old one is a stale answer.
func (f *Front) warm(ctx context.Context) {
	if f.cfg.Local == nil {
		return
	}
	var targets []string
	list, ok := f.cfg.Local.Load(keyHot, recordVersion)
	if !ok || json.Unmarshal(list, &targets) != nil {
		return
	}
	var kept []*Answer
	for _, target := range targets[:min(len(targets), hotMax)] {
		data, ok := f.cfg.Local.Load(keyAnswer+target, recordVersion)
		if !ok {
			continue
		}
		if a, ok := unrecord(target, data); ok && a.begun <= f.nowMS() {
			a.until, a.restored = min(a.until, f.nowMS()), true
			kept = append(kept, a)
			f.put(a)
		}
	}
	f.cfg.Log.Info(fmt.Sprintf("asking for %d answers of the catalog that were hot before the start", len(kept)))
	var asking errgroup.Group
	asking.SetLimit(warmAtOnce)
	for _, a := range kept {
		if ctx.Err() != nil {
			break
		}
		asking.Go(func() error {
			_, _ = f.fetch(a.again()) // who reads it asks again
			return nil
		})
	}
	_ = asking.Wait()
	for _, a := range kept {
		f.heat(a.target)
	}
}
