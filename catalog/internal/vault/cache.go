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
	room       int
	half       time.Duration
	turning    bool // a timer runs
}

func newCache(keys int, life time.Duration) *cache {
	return &cache{young: map[int64]tink.AEAD{}, room: keys / 2, half: life / 2}
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
	if len(c.young) >= c.room {
		c.turn()
	}
	c.young[subject] = key
	if !c.turning {
		c.turning = true
		time.AfterFunc(c.half, c.age)
	}
}

func (c *cache) forget(subject int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.young, subject)
	delete(c.old, subject)
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
