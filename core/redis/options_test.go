package redis

import (
	"testing"
	"time"
)

// TestSentinelOptions checks that the options for Sentinels have their own credentials, and timeouts for Sentinels that
// are away.
func TestSentinelOptions(t *testing.T) {
	t.Parallel()
	r := Config{
		SentinelAddrs: []string{"s:1", "s:2"}, SentinelMaster: "stock", SentinelUser: "watcher", SentinelPassword: "w",
		User: "shop", Password: "p", CallTimeout: 300 * time.Millisecond,
	}
	o, err := r.options()
	if err != nil {
		t.Fatal(err)
	}
	if s := o.Sentinel; len(o.InitAddress) != 2 || s.MasterSet != "stock" || s.Username != "watcher" || s.Password != "w" || o.Username != "shop" || o.Password != "p" {
		t.Errorf("options are %+v", o)
	}
	if s := o.Sentinel; s.TopologyRefreshInterval != time.Second || s.Dialer.Timeout != time.Second || s.Dialer.KeepAlive != time.Second || o.ConnWriteTimeout != hangMax {
		t.Errorf("bounds are %v, %v, %v and %v", s.TopologyRefreshInterval, s.Dialer.Timeout, s.Dialer.KeepAlive, o.ConnWriteTimeout)
	}
	r.CallTimeout = 10 * time.Second
	if o, err = r.options(); err != nil || o.ConnWriteTimeout != r.CallTimeout {
		t.Errorf("a server may be silent for %v (%v) where a call may take %v", o.ConnWriteTimeout, err, r.CallTimeout)
	}
}
