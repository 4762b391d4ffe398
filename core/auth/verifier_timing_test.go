package auth

import (
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkVerifier has what the memory of verified tokens costs a request: a look-up of one token again and again, of
// any of many by one or all processors, and a request of any of more tokens than are remembered, which verifies those that
// were pushed out. CPU time is steadier than time on a busy machine.
//
//	go test -run '^$' -bench BenchmarkVerifier -benchtime 1000000x ./core/auth
func BenchmarkVerifier(b *testing.B) {
	const places = 1 << 16
	keys, err := NewKeys(hsKey)
	if err != nil {
		b.Fatal(err)
	}
	issued := make([][]byte, 100_000)
	for i := range issued {
		c := claims()
		c.Subject = int64(i + 1)
		text, err := keys.Issue(c)
		if err != nil {
			b.Fatal(err)
		}
		issued[i] = []byte(text)
	}
	some := issued[:places/2]
	for _, bench := range []struct {
		name   string
		tokens [][]byte
		run    func(b *testing.B, request func(dice *rand.Rand))
	}{
		{"hit", issued[:1], inTurn},
		{"hit_any", some, inTurn},
		{"hit_any_parallel", some, inParallel},
		{"push_out", issued, inTurn},
		{"push_out_parallel", issued, inParallel},
	} {
		b.Run(bench.name, func(b *testing.B) {
			v := NewVerifier(keys, VerifierConfig{Issuer: "iss", Audience: "aud", CacheMax: places})
			request := func(token []byte) {
				if _, seen := v.Cached(token, noon); seen {
					return
				}
				if _, err := v.Verify(token, noon); err != nil {
					b.Error(err)
				}
			}
			for _, token := range bench.tokens {
				request(token)
			}
			runtime.GC()
			b.ReportAllocs()
			b.ResetTimer()
			before := ownCPU()
			bench.run(b, func(dice *rand.Rand) { request(bench.tokens[dice.IntN(len(bench.tokens))]) })
			b.ReportMetric(float64(ownCPU()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

func inTurn(b *testing.B, request func(*rand.Rand)) {
	b.Helper()
	dice := rand.New(rand.NewPCG(1, 2))
	for range b.N {
		request(dice)
	}
}

func inParallel(b *testing.B, request func(*rand.Rand)) {
	b.Helper()
	b.RunParallel(func(turn *testing.PB) {
		dice := rand.New(rand.NewPCG(rand.Uint64(), 0))
		for turn.Next() {
			request(dice)
		}
	})
}

// ownCPU is the CPU time that this process has used so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
