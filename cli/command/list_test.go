package command

import (
	"bytes"
	"strings"
	"testing"

	"sluice/core/ledger"
)

// How old a list is matters only where something happened since.
func TestListsTellTheirAgeWhereTheyAreBehind(t *testing.T) {
	t.Parallel()
	for _, behind := range []bool{false, true} {
		var out, notes bytes.Buffer
		c := &Console{Out: &out, Err: &notes}
		list := ledger.List[ledger.Stock]{AsOf: 1_700_000_000_000, Behind: behind}
		if err := showList(c, &Listing{}, list, "stock matches", []any{"SKU"}, func(*ledger.Stock) []any { return nil }); err != nil {
			t.Fatal(err)
		}
		if out.String() != "no stock matches\n" {
			t.Errorf("an empty list: %q", out.String())
		}
		if said := notes.String(); strings.Contains(said, "as of 2023-11-14") != behind {
			t.Errorf("behind is %v: %q", behind, said)
		}
	}
}
