package stockfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
)

// columns are the names of a CSV file's columns, in their order.
type columns []string

func parseHeader(line []byte) (columns, error) {
	cells, err := split(line)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, name := range cells {
		if _, ok := fields[name]; !ok {
			return nil, fmt.Errorf("column %q: want some of %s", cut(name), fieldNames)
		}
		if seen[name] {
			return nil, fmt.Errorf("column %q is there twice", name)
		}
		seen[name] = true
	}
	if !seen["sku_id"] || !seen["quantity"] {
		return nil, errors.New("want at least the columns sku_id and quantity")
	}
	return cells, nil
}

func (c columns) parse(text []byte, line *Line) error {
	cells, err := split(text)
	if err != nil {
		return err
	}
	if len(cells) != len(c) {
		return fmt.Errorf("%d columns, the header has %d", len(cells), len(c))
	}
	for i, cell := range cells {
		if err := line.set(c[i], cell); err != nil {
			return err
		}
	}
	return line.complete()
}

// split splits one line. No value here spans lines, so an open quote spoils its own line only.
func split(line []byte) ([]string, error) {
	if bytes.IndexByte(line, '"') < 0 {
		return strings.Split(string(line), ","), nil
	}
	cells, err := csv.NewReader(bytes.NewReader(line)).Read()
	if err != nil {
		return nil, errors.New("quotes are not closed, or not around a whole value")
	}
	return cells, nil
}
