package vault

import (
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"
)

// cache remembers opened keys in two generations. A key lives for one of them at least and for two at most, however often it
// is asked for. Each takes half the room: when the young one is full, or half a life old, it becomes the old one, and the old
// one is forgotten. Also a process that nobody asks forgets its keys.
type cache struct {
	mu         sync.Mutex
	young, old map[int64]tink.AEAD
	gone       map[int64]time.Time // until when the key of a subject is not remembered
	room       int
	half       time.Duration
	turning    bool // a timer runs
}

func newCache(keys int, life time.Duration) *cache {
	return &cache{young: map[int64]tink.AEAD{}, gone: map[int64]time.Time{}, room: keys / 2, half: life / 2}
}

func (c *cache) get(subject int64) tink.AEAD {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key := c.young[subject]; key != nil {
		return key
	}
	return c.old[subject]
}

func (c *cache) put(subject int64, key tink.AEAD) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, gone := c.gone[subject]; gone {
		return
	}
	if len(c.young) >= c.room {
		c.turn()
	}
	c.young[subject] = key
	if !c.turning {
		c.turning = true
		time.AfterFunc(c.half, c.age)
	}
}

// forget forgets a key, and remembers none of the subject for a life: whoever has read the row before its end commits would
// put the key back.
func (c *cache) forget(subject int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.young, subject)
	delete(c.old, subject)
	until := time.Now().Add(2 * c.half)
	c.gone[subject] = until
	time.AfterFunc(2*c.half, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.gone[subject].Equal(until) { // it was not forgotten once more
			delete(c.gone, subject)
		}
	})
}

// age is called every half life while there are keys.
func (c *cache) age() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	if c.turning = len(c.old) > 0; c.turning {
		time.AfterFunc(c.half, c.age)
	}
}

func (c *cache) turn() { c.old, c.young = c.young, map[int64]tink.AEAD{} }
