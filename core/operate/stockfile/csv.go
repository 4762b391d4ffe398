package stockfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// table is how a CSV file is laid out.
type table struct {
	separator byte
	columns   []string // their names, in their order; empty where a spreadsheet has written a column of nothing
}

// separators lists the characters that spreadsheets write between columns. They differ by country.
var separators = []byte{',', ';', '\t'}

// parseHeader reads the names of the columns. Blanks around them and the case of their letters do not matter.
func parseHeader(line []byte) (table, error) {
	var t table
	for _, s := range separators {
		switch {
		case bytes.IndexByte(line, s) < 0:
		case t.separator != 0:
			return table{}, errors.New("two kinds of separators: want commas, semicolons or tabs, the same in all lines")
		default:
			t.separator = s
		}
	}
	if t.separator == 0 {
		t.separator = separators[0]
	}
	names, err := t.split(line)
	if err != nil {
		return table{}, err
	}
	for i, name := range names {
		name = strings.ToLower(name)
		if _, known := fields[name]; !known && (name != "" || len(names) == 1) {
			return table{}, unknownColumn(i+1, names[i])
		}
		if name != "" && slices.Contains(t.columns, name) {
			return table{}, fmt.Errorf("column %q is there twice: delete one", name)
		}
		t.columns = append(t.columns, name)
	}
	if !slices.Contains(t.columns, "sku_id") || !slices.Contains(t.columns, "quantity") {
		return table{}, errors.New("want at least the columns sku_id and quantity")
	}
	return t, nil
}

// unknownColumn reports a column with a name that does not exist, or a missing header.
func unknownColumn(number int, name string) error {
	switch {
	case strings.ContainsRune(name, 0):
		return errors.New("want text: save the file as CSV in UTF-8")
	case name != "" && strings.Trim(name, "0123456789") == "":
		return fmt.Errorf("column %d is %q, no name: write the names of the columns into the first line, such as sku_id,quantity", number, cut(name))
	}
	return fmt.Errorf("column %d, %q: want some of %s", number, cut(name), fieldNames)
}

func (t table) parse(text []byte, line *Line) error {
	cells, err := t.split(text)
	if err != nil {
		return err
	}
	if len(cells) != len(t.columns) {
		return fmt.Errorf("%d columns, the header has %d", len(cells), len(t.columns))
	}
	for i, cell := range cells {
		switch name := t.columns[i]; {
		case name == "" && cell != "":
			return fmt.Errorf("column %d, %q: the header has no name for it", i+1, cut(cell))
		case name == "":
			continue
		case fields[name].boolean:
			if word, ok := booleans[strings.ToLower(cell)]; ok {
				cell = word
			}
		}
		if err := line.set(t.columns[i], cell); err != nil {
			return fmt.Errorf("column %d, %w", i+1, err)
		}
		if t.columns[i] == "closes_at" {
			line.column = i + 1
		}
	}
	return line.complete()
}

// booleans lists the words that people and spreadsheets write for true and false. JSON has words of its own.
var booleans = map[string]string{
	"true": "true", "1": "true", "yes": "true",
	"false": "false", "0": "false", "no": "false",
}

// blank reports whether a line has no values, as spreadsheets write an empty row.
func (t table) blank(line []byte) bool {
	return len(bytes.Trim(line, " \t\r"+string(t.separator))) == 0
}

// split splits one line. No value here spans lines, so an open quote spoils its own line only.
func (t table) split(line []byte) ([]string, error) {
	if bytes.IndexByte(line, '"') < 0 {
		cells := strings.Split(string(line), string(t.separator))
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		return cells, nil
	}
	reader := csv.NewReader(bytes.NewReader(line))
	reader.Comma = rune(t.separator)
	cells, err := reader.Read()
	if err != nil {
		return nil, errors.New("quotes are not closed, or not around a whole value")
	}
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells, nil
}
