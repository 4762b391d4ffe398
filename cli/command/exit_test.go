package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	"sluice/core/stock"
)

// Every kind of end has its code, however deep the error is wrapped, and every code is in the document.
func TestExitCodesFollowTheError(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("failed")
	for _, c := range []struct {
		err  error
		code int
	}{
		{nil, 0},
		{failed, 1},
		{usage(failed), 2},
		{notFound(failed), 3},
		{refused(failed), 4},
		{stock.ErrUnknown, 5},
		{context.Canceled, 130},
	} {
		ctx, end := context.WithCancel(t.Context())
		if c.code == ExitInterrupted {
			end()
		}
		for _, wrapped := range []error{c.err, errors.Join(c.err, nil), joined(c.err)} {
			if got := ExitCode(ctx, wrapped); got != c.code {
				t.Errorf("%v: exit code %d, want %d", wrapped, got, c.code)
			}
		}
		end()
		if !regexp.MustCompile(`(?m)^\| ` + strconv.Itoa(c.code) + ` \|`).Match(document) {
			t.Errorf("exit code %d is not in docs/configuration.md", c.code)
		}
	}
}

func joined(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("stock load: %w", err)
}
