package report

import (
	"net"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"sluice/core/build"
)

// NewStamp returns the stamp of a run of this program, on this machine, against a URL or host:port. What the machine
// does not tell stays empty.
func NewStamp(now time.Time, target string, seed uint64) Stamp {
	built := build.Read()
	host, _ := os.Hostname()
	return Stamp{
		Start: now, Machine: host, Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Kernel: strings.TrimSpace(read("/proc/sys/kernel/osrelease")), CPU: field(read("/proc/cpuinfo"), "model name"),
		Cores: runtime.GOMAXPROCS(0), Memory: memory(), Sluice: built.Version, Commit: built.Commit, Modified: built.Modified,
		Go: built.Go, Target: target, Seed: seed, SameSystem: Loopback(target), Settings: map[string]string{},
	}
}

// Loopback reports whether a URL or host:port is on this machine by its name.
func Loopback(target string) bool {
	host := HostOf(target)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// HostOf returns the host of a URL or host:port, without the port and without brackets.
func HostOf(target string) string {
	if u, err := url.Parse(target); err == nil && u.Host != "" {
		return u.Hostname()
	}
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		return target
	}
	return host
}

func read(path string) string {
	text, _ := os.ReadFile(path) // other systems have no /proc
	return string(text)
}

// field returns the first value of a name in lines of the form "name : value".
func field(lines, name string) string {
	for line := range strings.Lines(lines) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func memory() int64 {
	kib, _ := strconv.ParseInt(strings.TrimSuffix(field(read("/proc/meminfo"), "MemTotal"), " kB"), 10, 64)
	return kib << 10
}
