package command

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"sluice/core/sale"
	"sluice/core/stock"
)

// A change that was done in part is neither refused, since something has changed, nor unknown.
func TestSaleDoneInPartFails(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{
		fmt.Errorf("%w: %w", sale.ErrPartly, stock.ErrTransferRefused): ExitFailed,
		fmt.Errorf("%w: %w", sale.ErrPartly, sale.ErrCellRefuse):       ExitFailed,
		stock.ErrTransferRefused:                                       ExitRefused,
		sale.ErrStaleMove:                                              ExitRefused,
		sale.ErrCellRefuse:                                             ExitRefused,
		errors.Join(stock.ErrTransferRefused, stock.ErrUnknown):        ExitUnknown,
		fmt.Errorf("%w: %w", sale.ErrPartly, stock.ErrUnknown):         ExitUnknown,
	} {
		got := saleFault(err)
		if ExitCode(t.Context(), got) != want || want != ExitRefused && !strings.Contains(got.Error(), "Repeat the command") {
			t.Errorf("%v: exit code %d, want %d", got, ExitCode(t.Context(), got), want)
		}
	}
}

// The error about a change that may be under way says what to do about it.
func TestUnitsInTransitAreNoPlainFailure(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{stock.ErrInTransit, stock.ErrUnknown} {
		if err := saleFault(fmt.Errorf("sale 7: %w", cause)); !errors.Is(err, cause) || !strings.Contains(err.Error(), "Repeat the command") {
			t.Errorf("%v: %v", cause, err)
		}
	}
}
