package limit

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// BenchmarkAllow is what a limit costs a request, at an edge alone and among others. The goroutines share all keys.
func BenchmarkAllow(b *testing.B) {
	cfg := Config{Rate: 1e6, Burst: 1e6, KeysMax: 1 << 20, Wake: make(chan struct{}, 1)}
	users := New("user", cfg, UserID)
	addresses := New("address", cfg, AddressID)
	var named [1024]netip.Addr
	for i := range named {
		var v4 [4]byte
		binary.BigEndian.PutUint32(v4[:], uint32(i))
		named[i] = netip.AddrFrom4(v4)
	}
	for _, edges := range []struct {
		name string
		n    int
	}{{"alone", 1}, {"among 8", 8}} {
		users.Among(edges.n)
		addresses.Among(edges.n)
		b.Run("user "+edges.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for user := int64(0); pb.Next(); user = (user + 1) & 1023 {
					users.Allow(user, noon)
				}
			})
		})
		b.Run("address "+edges.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i = (i + 1) & 1023 {
					addresses.Allow(named[i], noon)
				}
			})
		})
	}
}
