package command

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A migration waits for a server that is starting, says so once, and waits for nothing else.
func TestMigrateWaitsUntilServersAreUp(t *testing.T) {
	t.Parallel()
	errDenied := errors.New("access denied")
	for name, c := range map[string]struct {
		answers []error // then the last one for ever
		cancel  bool
		want    string
		tries   int
	}{
		"at once":     {answers: []error{nil}, tries: 1},
		"later":       {answers: []error{io.EOF, io.EOF, nil}, tries: 3},
		"never":       {answers: []error{io.EOF}, want: "MySQL did not come up within 2s: EOF"},
		"hopeless":    {answers: []error{io.EOF, errDenied}, want: "access denied", tries: 2},
		"interrupted": {answers: []error{io.EOF}, cancel: true, want: "wait for MySQL: context canceled", tries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var notes bytes.Buffer
				tries := 0
				err := untilUp(ctx, &Console{Err: &notes}, 2*time.Second, "MySQL", func() error {
					answer := c.answers[min(tries, len(c.answers)-1)]
					tries++
					if c.cancel {
						cancel()
					}
					return answer
				})
				if err == nil && c.want != "" || err != nil && err.Error() != c.want {
					t.Errorf("%v, want %q", err, c.want)
				}
				if c.tries != 0 && tries != c.tries {
					t.Errorf("%d tries, want %d", tries, c.tries)
				}
				if said := strings.Count(notes.String(), "waiting up to 2s for MySQL"); c.answers[0] != nil && said != 1 {
					t.Errorf("it says %d times that it waits: %q", said, notes.String())
				}
			})
		})
	}
}
