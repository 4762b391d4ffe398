package edge

import (
	"net/netip"
	"time"

	"sluice/core/auth"
	"sluice/core/lifecycle"
	"sluice/core/limit"
	"sluice/edge/quota"
)

// limits are the limits of requests. A nil one limits nothing.
type limits struct {
	users     *limit.Limiter[int64]
	addresses *limit.Limiter[netip.Addr]
}

// shareLimits makes the limits, and shares them with the other edges in the background.
func (n *Node) shareLimits(keys *auth.Keys) (limits, error) {
	wake := make(chan struct{}, 1)
	l := limits{
		users:     newLimiter("user", n.cfg.RatePerUser, n.cfg.BurstPerUser, n.cfg.LimitedMax, wake, limit.UserID),
		addresses: newLimiter("address", n.cfg.RatePerAddress, n.cfg.BurstPerAddress, n.cfg.LimitedMax, wake, limit.AddressID),
	}
	seal, err := keys.Sealer("limits")
	if err != nil {
		return limits{}, err
	}
	sharer := quota.New(quota.Config{
		Board: n.store, Seal: seal, Policies: []quota.Policy{l.users, l.addresses}, Wake: wake,
		Metrics: n.set, Log: n.log, Now: time.Now,
	})
	if l.users == nil && l.addresses == nil {
		return l, nil
	}
	background := lifecycle.NewGroup(n.log)
	n.parts.Later("end sharing of limits", background.Stop)
	background.Run("sharing of limits", sharer.Run)
	return l, nil
}

// newLimiter makes a limiter. For a rate of 0 it returns nil.
func newLimiter[K comparable](name string, perSecond float64, burst, keysMax int, wake chan<- struct{}, id func(K) uint64) *limit.Limiter[K] {
	if perSecond == 0 {
		return nil
	}
	return limit.New(name, limit.Config{Rate: perSecond, Burst: burst, KeysMax: keysMax, Wake: wake}, id)
}
