package front

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/bits-and-blooms/bloom/v3"
	"github.com/go-json-experiment/json"

	"sluice/core/lifecycle"
	"sluice/core/problem"
)

const (
	falsePositives = 0.001
	fillPause      = 5 * time.Second // after a failure
	lookEvery      = time.Second     // whether the screen is complete
	pageLimit      = 100
	pageBytesMax   = 4 << 20
	fillMax        = 64 << 20 // ids: beyond that there is no screen
)

// screen knows which products, categories and brands cannot exist, so that made-up ids cost the catalog nothing. It is complete if it has
// all of a snapshot of the catalog, and all events since. Otherwise it lets everything pass.
type screen struct {
	seed maphash.Seed

	mu       sync.RWMutex
	bits     *bloom.BloomFilter // nil: there is none yet
	room     int                // for so many ids the filter is made
	holds    int
	complete bool
	filling  bool
	recent   []uint64 // of events during the filling
}

func newScreen() *screen { return &screen{seed: maphash.MakeSeed()} }

func (s *screen) hash(id string) uint64 { return maphash.String(s.seed, id) }

func place(bits *bloom.BloomFilter, hash uint64) bool {
	var b [8]byte
	for i := range b {
		b[i] = byte(hash >> (8 * i))
	}
	return bits.TestOrAdd(b[:])
}

// add adds what an event tells of. A filter with more than it was made for is filled anew.
func (s *screen) add(id string) {
	hash := s.hash(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filling {
		s.recent = append(s.recent, hash)
	}
	if s.bits != nil && !place(s.bits, hash) {
		s.holds++
		s.complete = s.complete && s.holds <= s.room
	}
}

// doubt has the screen filled anew, and a filling on its way does not count: events were lost.
func (s *screen) doubt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.complete, s.filling = false, false
}

// mayExist is false only of what certainly does not exist.
func (s *screen) mayExist(id string) bool {
	var b [8]byte
	hash := s.hash(id)
	for i := range b {
		b[i] = byte(hash >> (8 * i))
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !s.complete || s.bits.Test(b[:])
}

func (s *screen) count() (holds int, complete bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.holds, s.complete
}

// begin begins a filling, and put ends it.
func (s *screen) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.complete, s.filling, s.recent = false, true, nil
}

func (s *screen) put(hashes []uint64, whole bool) {
	room := 2*len(hashes) + 1024
	bits := bloom.NewWithEstimates(uint(room), falsePositives)
	holds := 0
	for _, hash := range hashes {
		if !place(bits, hash) {
			holds++
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, hash := range s.recent {
		if !place(bits, hash) {
			holds++
		}
	}
	whole = whole && s.filling
	s.filling, s.recent = false, nil
	if whole {
		s.bits, s.room, s.holds, s.complete = bits, room, holds, holds <= room
	}
}

// runScreen keeps the screen complete, until ctx ends.
func (f *Front) runScreen(ctx context.Context) {
	trouble := lifecycle.NewTrouble(f.cfg.Log, "read which products, categories and brands there are")
	for lifecycle.Pause(ctx, lookEvery) {
		if _, complete := f.screen.count(); complete || !f.Knows() {
			continue
		}
		err := f.fill(ctx)
		if ctx.Err() == nil {
			trouble.Saw(err, "until_then", "the catalog is asked for made-up ids too")
		}
		if err != nil {
			lifecycle.Pause(ctx, fillPause)
		}
	}
}

// fill reads a snapshot of the catalog. Events that come meanwhile are added to it.
func (f *Front) fill(ctx context.Context) error {
	f.screen.begin()
	var hashes []uint64
	var cursor string
	var err error
	for first := true; first || cursor != ""; first = false {
		var ids []string
		if ids, cursor, err = f.page(ctx, cursor); err != nil {
			break
		}
		for _, id := range ids {
			hashes = append(hashes, f.screen.hash(id))
		}
		if len(hashes) > fillMax {
			err = fmt.Errorf("there are more than %d", fillMax)
			break
		}
	}
	f.screen.put(hashes, err == nil && f.Knows())
	return err
}

// page reads a page of the snapshot.
func (f *Front) page(ctx context.Context, cursor string) (ids []string, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	token, err := f.cfg.Token(time.Now())
	if err != nil {
		return nil, "", err
	}
	target := fmt.Sprintf("%s/v1/product_snapshot?limit=%d", f.cfg.URL, pageLimit)
	if cursor != "" {
		target += "&cursor=" + url.QueryEscape(cursor)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	got, err := f.catalog.http.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, pageBytesMax))
	if err != nil {
		return nil, "", err
	}
	if got.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("the catalog answers with %d to GET /v1/product_snapshot", got.StatusCode)
	}
	var of struct {
		Data []struct {
			ID string `json:"aggregate_id"`
		} `json:"data"`
		Next string `json:"next_cursor"`
	}
	if err := json.Unmarshal(body, &of); err != nil {
		return nil, "", errors.New("the page of GET /v1/product_snapshot cannot be read")
	}
	for _, one := range of.Data {
		ids = append(ids, one.ID)
	}
	if of.Next == cursor && cursor != "" {
		return nil, "", errors.New("the pages of GET /v1/product_snapshot go round")
	}
	return ids, of.Next, nil
}

// refuses refuses an id that certainly nothing has.
func (f *Front) refuses(ask Ask) error {
	if ask.Route.unknown == nil || !f.Knows() || f.screen.mayExist(ask.ID) {
		return nil
	}
	f.screened.Inc()
	return &problem.Problem{Kind: ask.Route.unknown}
}
