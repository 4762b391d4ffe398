package edge

import (
	"fmt"
	"log/slog"
	"syscall"
)

// filesBeside is how many open files a process needs at most beside its shoppers' connections. It counts connections to
// the servers, of which a cluster has more, connections that are being refused, and the other roles of sluice dev.
const filesBeside = 512

// connectionsFor returns how many connections the process may have, at most the number wanted. If its limit of open
// files leaves no room for that many, it returns fewer and logs that. Go has raised the soft limit to the hard one
// before.
func connectionsFor(wanted int, log *slog.Logger) (int, error) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0, fmt.Errorf("read limit of open files: %w", err)
	}
	if files.Cur <= filesBeside {
		return 0, fmt.Errorf("the process may have %d open files, and needs more than %d: raise the limit (ulimit -Hn, LimitNOFILE= of systemd)", files.Cur, filesBeside)
	}
	if room := files.Cur - filesBeside; room < uint64(wanted) {
		log.Warn("the process may have too few open files for --connections-max: taking fewer connections; raise the limit (ulimit -Hn, LimitNOFILE= of systemd)",
			"connections_max", wanted, "connections", room, "files", files.Cur)
		return int(room), nil
	}
	return wanted, nil
}
