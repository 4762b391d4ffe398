package vault

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"
)

type nothing struct {
	tink.AEAD
	n int64
}

// A key is forgotten after its life at the latest, however often it is asked for, and not before half of it.
func TestCacheForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(100, 4*time.Second)
		for range 10 {
			c.put(1, &nothing{n: 1})
			put := time.Now()
			for c.get(1) != nil {
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
			}
			if lived := time.Since(put); lived < 2*time.Second || lived > 4*time.Second {
				t.Errorf("a key lived %v", lived)
			}
			time.Sleep(700 * time.Millisecond) // begin anywhere between two turns
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if c.turning || len(c.young)+len(c.old) > 0 {
			t.Error("an idle cache works, or has keys")
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(100, time.Second)
		for n := range int64(1000) {
			c.put(n, &nothing{n: n})
			if key := c.get(n); key == nil || key.(*nothing).n != n {
				t.Fatalf("key %d is %v", n, key)
			}
			if size := len(c.young) + len(c.old); size > 100 {
				t.Fatalf("%d keys are remembered", size)
			}
		}
		c.forget(999)
		c.forget(960)
		if c.get(999) != nil || c.get(960) != nil || c.get(998) == nil {
			t.Error("other keys were forgotten")
		}
		time.Sleep(time.Minute) // until its timer has ended
	})
}

// A key that was forgotten is not remembered for a life: who has read it before would put it back.
func TestForgottenKeysStayAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(100, 4*time.Second)
		c.put(1, &nothing{n: 1})
		c.forget(1)
		time.Sleep(3 * time.Second)
		c.forget(1)
		time.Sleep(4*time.Second - time.Millisecond)
		c.put(2, &nothing{n: 2})
		if c.put(1, &nothing{n: 1}); c.get(1) != nil || c.get(2) == nil {
			t.Error("it was put back, or another one was not")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if c.put(1, &nothing{n: 1}); c.get(1) == nil || len(c.gone) > 0 {
			t.Error("it stays away for ever")
		}
		time.Sleep(time.Minute) // until its timer has ended
	})
}
