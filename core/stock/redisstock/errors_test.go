package redisstock

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

func TestKindOfAnswer(t *testing.T) {
	t.Parallel()
	f := func(answer string, want error) {
		t.Helper()
		if got := kindOfAnswer(answer); !errors.Is(got, want) {
			t.Errorf("%q is %v, want %v", answer, got, want)
		}
	}
	f("NOSCRIPT No matching script. Please use EVAL.", stock.ErrShut)

	f("MOVED 3999 127.0.0.1:6381", stock.ErrNotApplied)
	f("ASK 3999 127.0.0.1:6381", stock.ErrNotApplied)
	f("TRYAGAIN Multiple keys request during rehashing of slot", stock.ErrNotApplied)
	f("CLUSTERDOWN The cluster is down", stock.ErrNotApplied)
	f("LOADING Redis is loading the dataset in memory", stock.ErrLoading)
	f("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", stock.ErrNotApplied)
	f("READONLY You can not run script with write flag on readonly replica.", stock.ErrNotApplied)
	f("OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'", stock.ErrFull)
	f("MISCONF Errors writing to the AOF file: No space left on device", stock.ErrNotApplied)
	f("NOREPLICAS Not enough good replicas to write.", stock.ErrNotApplied)
	f("BUSY Redis is busy running a script.", stock.ErrNotApplied)
	f("NOAUTH Authentication required.", stock.ErrNotApplied)
	f("NOPERM this user has no permissions to run the 'evalsha' command", stock.ErrNotApplied)
	f("max number of clients reached", stock.ErrNotApplied)

	// From within a script, even the same words may come after a write.
	f("OOM command not allowed when used memory > 'maxmemory'. script: 6f1, on @user_script:5.", stock.ErrProtocol)
	f("WRONGTYPE Operation against a key holding the wrong kind of value script: 6f1, on @user_script:5.", stock.ErrProtocol)
	f("Script attempted to access a non local key in a cluster node script: 6f1, on @user_script:5.", stock.ErrProtocol)
	f("BADARG take: counts do not match", stock.ErrProtocol)
	f("unknown command 'EVALSHA'", stock.ErrProtocol)
	f("MOVEDX 1 2", stock.ErrProtocol)
	f("", stock.ErrProtocol)
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	f := func(err, want error) {
		t.Helper()
		if got := kindOf(err); !errors.Is(got, want) {
			t.Errorf("%v is %v, want %v", err, got, want)
		}
		if wrapped := wrap("reserve", err); !errors.Is(wrapped, want) || !errors.Is(wrapped, err) {
			t.Errorf("wrapped error %q is not both %v and its cause", wrapped, want)
		}
	}
	f(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, stock.ErrUnreached)
	f(&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, stock.ErrUnreached)
	f(rueidis.ErrNoSlot, stock.ErrNotApplied)

	f(&net.OpError{Op: "read", Err: syscall.ECONNRESET}, stock.ErrUnknown)
	f(&net.OpError{Op: "write", Err: syscall.EPIPE}, stock.ErrUnknown)
	f(context.DeadlineExceeded, stock.ErrUnknown)
	f(context.Canceled, stock.ErrUnknown)
	f(io.EOF, stock.ErrUnknown)
	f(rueidis.ErrClosing, stock.ErrUnknown)
	f(errors.New("anything else"), stock.ErrUnknown)
}
