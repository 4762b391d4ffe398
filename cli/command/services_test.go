package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"sluice/core/auth"
)

type node func(context.Context) error

func (n node) Shutdown(ctx context.Context) error { return n(ctx) }

// A service goes on until the signal, and then gets a bounded time that the signal has not ended.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, signal := context.WithCancel(t.Context())
		time.AfterFunc(time.Hour, signal)
		started := time.Now()
		hangs := node(func(ctx context.Context) error {
			if after := time.Since(started); after != time.Hour || ctx.Err() != nil {
				t.Errorf("shut down after %v, context %v", after, ctx.Err())
			}
			<-ctx.Done()
			return ctx.Err()
		})
		err := serve(ctx, slog.New(slog.DiscardHandler), 7*time.Second, hangs)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(started) != time.Hour+7*time.Second {
			t.Errorf("%v after %v", err, time.Since(started))
		}
	})
}

func TestMigrateWaitsForServers(t *testing.T) {
	t.Parallel()
	starting := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for name, c := range map[string]struct {
		answers []error // the last one is repeated
		want    error
		within  time.Duration
	}{
		"it is up":             {[]error{nil}, nil, 0},
		"it comes up":          {[]error{starting, io.EOF, kafka.LeaderNotAvailable, nil}, nil, 5 * time.Second},
		"it does not":          {[]error{starting}, starting, 2 * time.Minute},
		"it is up and refuses": {[]error{os.ErrPermission}, os.ErrPermission, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var said bytes.Buffer
			start, calls := time.Now(), 0
			err := untilUp(t.Context(), &Console{Err: &said}, time.Minute, "MySQL", func() error {
				calls++
				return c.answers[min(calls, len(c.answers))-1]
			})
			if !errors.Is(err, c.want) || time.Since(start) > c.within || (said.Len() > 0) != (calls > 1) {
				t.Errorf("%s: %v after %v and %d calls; said %q", name, err, time.Since(start), calls, said.String())
			}
		})
	}
}

func TestDoctorLooksAtKeyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := auth.GenerateKey(auth.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, "keys.json")
	if err := auth.WriteKeys(good, key); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		path string
		mode os.FileMode
		want string
	}{
		{good, 0o600, checkOK},
		{good, 0o640, checkWarn},
		{good, 0o604, checkFail},
		{filepath.Join(dir, "none"), 0, checkFail},
		{dir, 0, checkFail},
		{"", 0, checkWarn},
	} {
		if c.mode != 0 {
			if err := os.Chmod(c.path, c.mode); err != nil {
				t.Fatal(err)
			}
		}
		e := &examination{Status: checkOK}
		doctor := &Doctor{Key: TokenKey{File: c.path}}
		doctor.secrets(t.Context(), e)
		doctor.tokens(t.Context(), e)
		if len(e.Checks) != 1 || e.Status != c.want || e.Checks[0].Status != c.want || (e.Checks[0].Do == "") != (c.want == checkOK) {
			t.Errorf("case %d: %+v, want %s", i, e, c.want)
		}
		if text := fmt.Sprint(e); strings.Contains(text, key.Secret) {
			t.Errorf("case %d: the key is shown", i)
		}
	}
}
