package redisstock

import "testing"

func TestKeptUp(t *testing.T) {
	t.Parallel()
	f := func(info string, want int) {
		t.Helper()
		if got := KeptUp("# Replication\r\nrole:master\r\n" + info + "master_failover_state:no-failover\r\n"); got != want {
			t.Errorf("%q: %d replicas, want %d", info, got, want)
		}
	}
	f("connected_slaves:0\r\n", 0)
	f("connected_slaves:1\r\nslave0:ip=127.0.0.1,port=7001,state=online,offset=56,lag=0\r\n", 1)
	f("slave0:ip=::1,port=7001,state=online,offset=56,lag=10\r\nslave1:ip=::1,port=7002,state=online,offset=56,lag=1,type=replica\r\n", 2)
	f("slave0:ip=::1,port=7001,state=online,offset=56,lag=11\r\n", 0)
	f("slave0:ip=::1,port=7001,state=wait_bgsave,offset=0,lag=0\r\n", 0)
	f("slave0:ip=::1,port=7001,state=online,offset=56\r\n", 0)
	f("slave0:\r\nslaves:x\r\nslave_read_repl_offset:1\r\n", 0)
}
