package reach

import (
	"testing"
	"time"
)

// TestNoProxyOfTheEnvironment: a proxy would be asked for addresses that this process does not reach. Go asks none for addresses of
// this machine, so that no server of a test would see it.
func TestNoProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	c := New(Config{Timeout: time.Second})
	defer c.Close()
	if c.plain.Proxy != nil || c.secure.Proxy != nil {
		t.Error("a proxy may be asked")
	}
}
