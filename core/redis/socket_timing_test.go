package redis_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/local"
	"sluice/core/redis"
)

// BenchmarkSocket compares calls by TCP on loopback with calls by a Unix socket, one after the other, with as many bytes as a
// vector of sixty requests has.
//
//	go test -run '^$' -bench BenchmarkSocket -benchtime 20000x -count 5 ./core/redis
func BenchmarkSocket(b *testing.B) {
	server, url := withSocket(b)
	text := strings.Repeat("x", 5000)
	for name, addr := range map[string]string{"tcp": server.Addr, "unix": url} {
		b.Run(name, func(b *testing.B) {
			client, err := (&redis.Config{Addrs: []string{addr}}).Client()
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			before, own := serverCPU(b, server), ownCPU(b)
			for b.Loop() {
				if err := echo(b, client, text); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(serverCPU(b, server)-before)/float64(b.N), "redis-cpu-ns/op")
			b.ReportMetric(float64(ownCPU(b)-own)/float64(b.N), "client-cpu-ns/op")
		})
	}
}

func echo(b *testing.B, client rueidis.Client, text string) error {
	b.Helper()
	return client.Do(b.Context(), client.B().Echo().Message(text).Build()).Error()
}

func serverCPU(b *testing.B, server *local.Redis) time.Duration {
	b.Helper()
	used, err := local.CPU(server.PID())
	if err != nil {
		b.Fatal(err)
	}
	return used
}

func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
