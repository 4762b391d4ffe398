package command

import (
	"errors"
	"os"
	"strings"
	"testing"

	"sluice/core/operate/load"
	"sluice/core/operate/stockfile"
	"sluice/core/stock"
)

// Each reason that leaves a line out has words of its own, with what is in its way.
func TestWordsOfLinesThatAreNotLoaded(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]load.Fault{
		"line 2: quantity is missing":                                                {Number: 2, Why: load.WhyUnreadable, Err: errors.New("quantity is missing")},
		"line 3: closes_at has passed":                                               {Number: 3, Why: load.WhyOver, Err: errors.New("closes_at has passed")},
		"line 4: SKU 7 was loaded with other values":                                 {Number: 4, Why: load.WhyOther, SKU: 7},
		"line 5: SKU 7 is not loaded: partition 3 of Redis":                          {Number: 5, Why: load.WhyShut, SKU: 7, Partition: 3},
		"line 6: SKU 7: refused: it is breached, because its counters do not add up": {Number: 6, Why: load.WhyRefused, SKU: 7, Verdict: stock.VerdictBreached},
	} {
		if got := lineError(&f).Error(); !strings.HasPrefix(got, want) {
			t.Errorf("%+v: %q, want %q", f, got, want)
		}
	}
}

// Of 200,000 wrong lines 20 are reported. The others are in a file, each with its number and error.
func TestManyWrongLinesGoToAFile(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	file.WriteString("sku_id,quantity\n")
	for range 200_000 {
		file.WriteString("x,1\n")
	}
	var told []string
	faults := &lineFaults{dir: t.TempDir(), tell: func(err error) { told = append(told, err.Error()) }}
	lines, err := stockfile.NewReader(strings.NewReader(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	var named loaded
	loader := load.Loader{
		Store: partitioned{}, Progress: func(int64) {},
		Fault: func(f *load.Fault) { named.name(f); faults.add(lineError(f)) },
	}
	result, err := loader.Load(t.Context(), lines)
	if err != nil || result.Wrong != 200_000 || len(named.Faults) != faultsMax {
		t.Fatalf("%d wrong, %d named, %v", result.Wrong, len(named.Faults), err)
	}
	path := faults.close()
	if len(told) != 20 || !strings.HasPrefix(told[19], "line 21: column 1, sku_id") {
		t.Errorf("told %d, the last %q", len(told), told[len(told)-1])
	}
	if said := faults.summary(path); said != "199,980 more lines are not loaded; all of them are in "+path {
		t.Errorf("said %q", said)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	kept := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(kept) != 199_980 || !strings.HasPrefix(kept[0], "line 22: column 1, sku_id") || !strings.HasPrefix(kept[199_979], "line 200001: column 1, sku_id") {
		t.Errorf("%d lines in the file, from %q to %q", len(kept), kept[0], kept[len(kept)-1])
	}
}

func TestFewWrongLinesMakeNoFile(t *testing.T) {
	t.Parallel()
	faults := &lineFaults{dir: t.TempDir(), tell: func(error) {}}
	for range faultsShown {
		faults.add(errors.New("wrong"))
	}
	if path := faults.close(); path != "" || faults.summary(path) != "" {
		t.Errorf("%q, %q", path, faults.summary(path))
	}
	if left, err := os.ReadDir(faults.dir); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// A file that cannot be made, or not be whole, is said.
func TestWrongLinesWithoutAFile(t *testing.T) {
	t.Parallel()
	faults := &lineFaults{dir: t.TempDir() + "/none", tell: func(error) {}}
	for range faultsShown + 5 {
		faults.add(errors.New("wrong"))
	}
	if said := faults.summary(faults.close()); !strings.HasPrefix(said, "5 more lines are not loaded; no file could be made") {
		t.Errorf("said %q", said)
	}
	faults = &lineFaults{dir: t.TempDir(), tell: func(error) {}}
	long := errors.New(strings.Repeat("x", 1<<20))
	for range faultsShown + 70 {
		faults.add(long)
	}
	path := faults.close()
	if said := faults.summary(path); !strings.Contains(said, "not whole: it would have more than 64 MiB") {
		t.Errorf("said %q", said)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > faultFileBytesMax+2<<20 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}

// partitioned is a store that no right line reaches.
type partitioned struct{ stock.Store }

func (partitioned) Partitions() int { return 8 }
