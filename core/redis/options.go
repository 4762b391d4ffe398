package redis

import (
	"net"
	"time"

	"github.com/redis/rueidis"
)

// dialTimeout bounds how long a client takes to connect, greeting included: calls to a server that hangs wait for that
// too, whatever time they have.
const dialTimeout = time.Second

// topologyEvery is how often a client asks a cluster for its nodes. Otherwise it learns of a new or a returned replica only when
// a primary moves.
const topologyEvery = 5 * time.Second

// Options are the options that every client has: nothing is ever sent twice by the client itself, redirections of a
// cluster are bounded, and there is no client-side cache. TLS is the caller's.
func Options(addrs []string, user, password string) rueidis.ClientOption {
	return rueidis.ClientOption{
		InitAddress:   addrs,
		Username:      user,
		Password:      password,
		Dialer:        net.Dialer{Timeout: dialTimeout},
		DisableRetry:  true,
		DisableCache:  true,
		ClusterOption: rueidis.ClusterOption{MaxMovedRedirections: 3, ShardsRefreshInterval: topologyEvery},
	}
}

// SentinelOptions are those where Sentinels name the primary: the client asks them again every second, because it
// would never learn of a switch whose message it has missed, and gives up soon on a Sentinel whose host is away,
// because it asks one after another. TLS is the caller's.
func SentinelOptions(master, user, password string) rueidis.SentinelOption {
	return rueidis.SentinelOption{
		MasterSet:               master,
		Username:                user,
		Password:                password,
		Dialer:                  net.Dialer{Timeout: dialTimeout, KeepAlive: time.Second},
		TopologyRefreshInterval: time.Second,
	}
}
