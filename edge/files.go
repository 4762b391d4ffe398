package edge

import (
	"fmt"
	"log/slog"
	"syscall"
)

// filesBeside is how many open files a process needs beside its shoppers' connections, at most: those to the
// servers, which grow with a cluster, connections that are refused, and those of sluice dev's other roles.
const filesBeside = 512

// connectionsFor is how many connections a process may have that wants some number of them: fewer if its limit of
// open files leaves no room, which is said. Go has raised the soft limit to the hard one by now.
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
