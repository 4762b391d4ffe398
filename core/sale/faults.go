package sale

import (
	"fmt"
	"strings"
)

// faultsMax is how many SKUs an error names; it counts the rest.
const faultsMax = 20

// faults are the troubles of some SKUs of a sale.
type faults []error

func (f *faults) add(sku int64, err error) { *f = append(*f, fmt.Errorf("SKU %d: %w", sku, err)) }

// err is nil where there is no trouble.
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

// Unwrap gives all of them.
func (f faults) Unwrap() []error { return f }
