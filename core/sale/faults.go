package sale

import (
	"errors"
	"fmt"
	"strings"
)

// ErrPartly means that a call has changed a sale in part. The error says what was done, and why each SKU that lacks was left
// out. Repeating the call does the rest, once the reasons are gone.
var ErrPartly = errors.New("done in part")

// progress says what a call has changed so far.
type progress struct {
	written string // what was written into MySQL, if anything
	cells   int    // cells that were made or changed
	moved   int    // SKUs whose units have moved
}

// changed reports whether anything has changed.
func (p progress) changed() bool { return p != progress{} }

// partly makes an error of a call an ErrPartly, if the call has changed something before.
func (p progress) partly(id uint32, err error) error {
	if err == nil || !p.changed() {
		return err
	}
	var done []string
	if p.written != "" {
		done = append(done, p.written+" is written down")
	}
	if p.cells > 0 {
		done = append(done, fmt.Sprintf("SKUs set: %d", p.cells))
	}
	if p.moved > 0 {
		done = append(done, fmt.Sprintf("SKUs whose units have moved: %d", p.moved))
	}
	return fmt.Errorf("sale %d: %w (%s); what is not done:\n%w", id, ErrPartly, strings.Join(done, "; "), err)
}

// faultsMax is how many SKUs an error names; it counts the rest.
const faultsMax = 20

// faults has the errors of some SKUs of a sale.
type faults []error

func (f *faults) add(sku int64, err error) { *f = append(*f, fmt.Errorf("SKU %d: %w", sku, err)) }

// err returns nil if there is no error.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Error implements error.
func (f faults) Error() string {
	var text strings.Builder
	for i, err := range f[:min(len(f), faultsMax)] {
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(err.Error())
	}
	if more := len(f) - faultsMax; more > 0 {
		fmt.Fprintf(&text, "\nand %d SKUs more", more)
	}
	return text.String()
}

// Unwrap returns all of them.
func (f faults) Unwrap() []error { return f }
