package batch

import "sync"

// completion says how something ended that many requests may wait for: the delivery of an entry to Kafka, or a round of
// proofs.
type completion struct {
	once  sync.Once
	ended func() // end calls it once; nil, or set before anybody can call end
	done  chan struct{}
	err   error // valid once done is closed
}

func newCompletion() *completion { return &completion{done: make(chan struct{})} }

func (c *completion) end(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.done)
		if c.ended != nil {
			c.ended()
		}
	})
}

func (c *completion) wait() error {
	<-c.done
	return c.err
}
