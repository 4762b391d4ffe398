package webhook

import "testing"

// TestNoProxyOfTheEnvironment: a proxy would be asked for addresses that this process does not reach. Go asks none for addresses of
// this machine, so that no server of a test would see it.
func TestNoProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	s := NewSender(Config{})
	defer s.Close()
	if s.plain.Proxy != nil || s.secure.Proxy != nil {
		t.Error("a proxy may be asked")
	}
}
