package ledger

import (
	"database/sql/driver"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// Nothing but a whole number is a number, whatever the driver gives for a column.
func TestNumbersOfARow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		value driver.Value
		want  int64
		wrong bool
	}{
		{int64(-5), -5, false},
		{uint64(1 << 40), 1 << 40, false},
		{nil, 0, false},
		{float64(4), 0, true},
		{float32(4), 0, true},
		{[]byte("4"), 0, true},
		{"4", 0, true},
		{true, 0, true},
		{time.Unix(4, 0), 0, true},
	} {
		t.Run(fmt.Sprintf("%T", test.value), func(t *testing.T) {
			t.Parallel()
			v := values{row: []driver.Value{test.value}}
			if got := v.number(); got != test.want || (v.wrong != nil) != test.wrong {
				t.Errorf("%v: %d and %v, want %d", test.value, got, v.wrong, test.want)
			}
		})
	}
}

// On MySQL 8 the sum of an ENUM and a number is a DOUBLE, which is no number of a row. No MariaDB shows that.
func TestStatementsCastEnums(t *testing.T) {
	t.Parallel()
	sum := regexp.MustCompile(`\b(kind|state|outcome|sweep|verdict|operation|acknowledge|act) [+*-] \d`)
	for _, of := range []string{"*.go", "../*/*.go", "../reconcile/journal/*.go", "../../persister/*.go"} {
		files, err := filepath.Glob(of)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", of, files, err)
		}
		for _, file := range files {
			if source, err := os.ReadFile(file); err != nil {
				t.Error(err)
			} else if found := sum.Find(source); found != nil {
				t.Errorf("%s has %q: want CAST(… AS UNSIGNED)", file, found)
			}
		}
	}
}
