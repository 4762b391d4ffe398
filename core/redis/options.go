package redis

import (
	"net"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// dialTimeout bounds how long a client takes to connect, greeting included. A call to a server that hangs waits for
// the connection too, however short its own timeout is.
const dialTimeout = time.Second

// topologyEvery is how often a client asks a cluster for its nodes. Without it the client would learn of a new or a
// returned replica only when a primary moves.
const topologyEvery = 5 * time.Second

// Options returns the options of every client. The client sends nothing twice by itself, follows a bounded number of
// redirections in a cluster, and has no client-side cache. No server can end the process by what it answers. The caller
// sets TLS. An address may be the URL of a Unix socket, if it is the only one.
func Options(addrs []string, user, password string) rueidis.ClientOption {
	return rueidis.ClientOption{
		DialCtxFn:         dialGuarded,
		ForceSingleClient: len(addrs) == 1 && isSocket(addrs[0]),
		InitAddress:       addrs,
		Username:          user,
		Password:          password,
		Dialer:            net.Dialer{Timeout: dialTimeout},
		DisableRetry:      true,
		DisableCache:      true,
		ClusterOption:     rueidis.ClusterOption{MaxMovedRedirections: 3, ShardsRefreshInterval: topologyEvery},
	}
}

// socketScheme begins the URL of a Unix socket.
const socketScheme = "unix://"

func isSocket(addr string) bool { return strings.HasPrefix(addr, socketScheme) }

func socketPath(addr string) string { return strings.TrimPrefix(addr, socketScheme) }

// SentinelOptions returns the options for a primary that Sentinels name. The client asks them again every second,
// because otherwise it would never learn of a switch whose message it missed. It gives up soon on a Sentinel whose
// host is away, because it asks one after another. The caller sets TLS.
func SentinelOptions(master, user, password string) rueidis.SentinelOption {
	return rueidis.SentinelOption{
		MasterSet:               master,
		Username:                user,
		Password:                password,
		Dialer:                  net.Dialer{Timeout: dialTimeout, KeepAlive: time.Second},
		TopologyRefreshInterval: time.Second,
	}
}
