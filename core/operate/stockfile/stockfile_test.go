package stockfile_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sluice/core/operate/stockfile"
	"sluice/core/stock"
)

// withoutPlaces leaves out where in the file a line has its values.
var withoutPlaces = cmpopts.IgnoreUnexported(stockfile.Line{})

func read(t *testing.T, file io.Reader) (lines []stockfile.Line, faults []string) {
	t.Helper()
	r, err := stockfile.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for {
		line, err := r.Next()
		var fault *stockfile.LineError
		switch {
		case errors.Is(err, io.EOF):
			return lines, faults
		case errors.As(err, &fault):
			faults = append(faults, err.Error())
		case err != nil:
			t.Fatal(err)
		default:
			lines = append(lines, line)
		}
	}
}

func line(number int, sku, quantity int64, change func(*stock.Settings)) stockfile.Line {
	l := stockfile.Line{Number: number, SKU: sku, Quantity: quantity, Settings: stock.Settings{Hold: stock.HoldDefault}}
	if change != nil {
		change(&l.Settings)
	}
	return l
}

func all(s *stock.Settings) {
	*s = stock.Settings{
		Limit: 2, Hold: time.Minute, OpensAtMS: 1767225600000, ClosesAtMS: 1767225601000,
		Ack: stock.AckLog, ShopperDeducts: true, Frozen: true,
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	const file = "\ufeffquantity,sku_id,limit,hold_seconds,opens_at,closes_at,ack,shopper_deducts,frozen\r\n" +
		"10,9223372036854775807,2,60,2026-01-01T00:00:00Z,2026-01-01T00:00:01Z,log,true,true\r\n" +
		"\n" +
		"0,1,,,,,,,\n" +
		"\"5\",\"2\",,,,,,false,"
	lines, faults := read(t, strings.NewReader(file))
	want := []stockfile.Line{line(2, 9223372036854775807, 10, all), line(4, 1, 0, nil), line(5, 2, 5, nil)}
	if diff := cmp.Diff(want, lines, withoutPlaces); diff != "" || len(faults) > 0 {
		t.Errorf("faults %q, -want +got\n%s", faults, diff)
	}
}

func TestJSONLines(t *testing.T) {
	t.Parallel()
	const file = `{"sku_id":"7","quantity":10,"limit":2,"hold_seconds":60,"opens_at":"2026-01-01T00:00:00Z","closes_at":"2026-01-01T00:00:01Z","ack":"log","shopper_deducts":true,"frozen":true}
{"sku_id":"8","quantity":0,"limit":null}`
	lines, faults := read(t, strings.NewReader(file))
	want := []stockfile.Line{line(1, 7, 10, all), line(2, 8, 0, nil)}
	if diff := cmp.Diff(want, lines, withoutPlaces); diff != "" || len(faults) > 0 {
		t.Errorf("faults %q, -want +got\n%s", faults, diff)
	}
}

// TestTimesAreReadAsEverywhere gives both forms of file times that Go would read otherwise.
func TestTimesAreReadAsEverywhere(t *testing.T) {
	t.Parallel()
	opens := func(s *stock.Settings) { s.OpensAtMS = 1767225600123 }
	for _, format := range []string{"sku_id,quantity,opens_at\n1,5,%s", `{"sku_id":"1","quantity":5,"opens_at":%q}`} {
		for text, good := range map[string]bool{
			"2026-01-01t00:00:00.123z": true, "2026-01-01T08:00:00.1239+08:00": true,
			"2026-01-01T0:00:00.123Z": false, "2026-01-02T00:00:00.123+24:00": false, "1970-01-01T00:00:00Z": false,
		} {
			lines, faults := read(t, strings.NewReader(fmt.Sprintf(format, text)))
			if !good && (len(lines) > 0 || len(faults) != 1 || !strings.Contains(faults[0], "want a")) {
				t.Errorf("%s: read %v, faults %q, want one", text, lines, faults)
			}
			if good && (len(faults) > 0 || len(lines) != 1 || lines[0].Settings != line(lines[0].Number, 1, 5, func(s *stock.Settings) { s.Hold = stock.HoldDefault; opens(s) }).Settings) {
				t.Errorf("%s: read %v, faults %q", text, lines, faults)
			}
		}
	}
}

// Each wrong line is between two right ones, which must be read, and is named with its number.
func TestWrongLinesCostThemselvesOnly(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("9", 100_000)
	for wrong, why := range map[string]string{
		"":                            "", // blank: no line at all
		" ,\t,":                       "", // as of an empty row
		"1":                           "1 columns, the header has 3",
		"1,2,3,4":                     "4 columns",
		",2,":                         "sku_id \"\"",
		"0,2,":                        "sku_id \"0\"",
		"01,2,":                       "sku_id \"01\"",
		"-1,2,":                       "sku_id",
		"{1},2,":                      "sku_id",
		"9223372036854775808,2,":      "sku_id",
		"1,,":                         "quantity \"\": want a whole number",
		"1,-2,":                       "quantity \"-2\"",
		"1,+2,":                       "quantity",
		"1,2.0,":                      "quantity",
		"1,2e3,":                      "quantity",
		"1, 2 3,":                     "column 2, quantity \"2 3\": want a whole number",
		"1,02,":                       "quantity",
		"1,1099511627776,":            "1099511627775",
		"1,2,1000001":                 "limit",
		"1,2,x":                       "limit",
		`"1,2,3`:                      "quotes",
		`1,"2"3,4`:                    "quotes",
		long:                          "longer than",
		"1,2," + long[:1000]:          "limit",
		`{"sku_id":"1","quantity":2}`: "quotes",
		"\x00,\xff,":                  "sku_id",
	} {
		lines, faults := read(t, strings.NewReader("sku_id,quantity,limit\n10,1,\n"+wrong+"\n11,1,\n"))
		want := []stockfile.Line{line(2, 10, 1, nil), line(4, 11, 1, nil)}
		if diff := cmp.Diff(want, lines, withoutPlaces); diff != "" {
			t.Errorf("%.50q: -want +got\n%s", wrong, diff)
		}
		if why == "" && len(faults) == 0 {
			continue
		}
		if len(faults) != 1 || !strings.HasPrefix(faults[0], "line 3: ") || !strings.Contains(faults[0], why) {
			t.Errorf("%.50q: faults %q, want line 3 and %q", wrong, faults, why)
		} else if len(faults[0]) > 300 {
			t.Errorf("%.50q: a fault of %d bytes", wrong, len(faults[0]))
		}
	}
}

// TestSpreadsheets reads what spreadsheets make of a table, in other countries too.
func TestSpreadsheets(t *testing.T) {
	t.Parallel()
	encode := func(order binary.AppendByteOrder, text string) string {
		var b []byte
		for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
			b = order.AppendUint16(b, unit)
		}
		return string(b)
	}
	const plain = "sku_id,quantity,shopper_deducts,frozen\n1,5,true,false\n2,6,false,true\n"
	words := func(yes, no string) string { return strings.NewReplacer("true", yes, "false", no).Replace(plain) }
	for name, file := range map[string]string{
		"plain": plain, "TRUE": words("TRUE", "FALSE"), "digits": words("1", "0"), "yes": words("Yes", "no"),
		"semicolons": strings.ReplaceAll(plain, ",", ";"), "tabs": strings.ReplaceAll(plain, ",", "\t"),
		"CR": strings.ReplaceAll(plain, "\n", "\r"), "CR LF": strings.ReplaceAll(plain, "\n", "\r\n"),
		"blanks": strings.ReplaceAll(plain, ",", " , "), "upper case": strings.Replace(plain, "sku_id,quantity", "SKU_ID,Quantity ", 1),
		"UTF-16LE": encode(binary.LittleEndian, plain), "UTF-16BE": encode(binary.BigEndian, strings.ReplaceAll(plain, "\n", "\r\n")),
		"columns of nothing": strings.ReplaceAll(plain, "\n", ",,\n"), "quotes and semicolons": `"sku_id";"quantity";"shopper_deducts";"frozen"` + "\n\"1\";5;true;false\n2;6;;1",
	} {
		lines, faults := read(t, strings.NewReader(file))
		want := []stockfile.Line{
			line(2, 1, 5, func(s *stock.Settings) { s.ShopperDeducts = true }),
			line(3, 2, 6, func(s *stock.Settings) { s.Frozen = true }),
		}
		if diff := cmp.Diff(want, lines, withoutPlaces); diff != "" || len(faults) > 0 {
			t.Errorf("%s: faults %q, -want +got\n%s", name, faults, diff)
		}
	}
	for file, why := range map[string]string{
		words("WAHR", "FALSCH"):                      `line 2: column 3, shopper_deducts "WAHR": want true or false`,
		"sku_id;quantity\n1;1.000\n":                 `line 2: column 2, quantity "1.000": want a whole number`,
		"sku_id;quantity\n1,5\n":                     "line 2: 1 columns, the header has 2",
		"sku_id,quantity,\n1,5,red\n":                `line 2: column 3, "red": the header has no name for it`,
		"sku_id,quantity,opens_at\n1,5,31.01.2026\n": `line 2: column 3, opens_at "31.01.2026": want a time in RFC 3339, such as`,
	} {
		if _, faults := read(t, strings.NewReader(file)); len(faults) == 0 || !strings.Contains(faults[0], why) {
			t.Errorf("%q: faults %q, want %q", file, faults, why)
		}
	}
}

func TestWrongJSONLines(t *testing.T) {
	t.Parallel()
	for wrong, why := range map[string]string{
		`{"sku_id":"1"}`:                                     "quantity is missing",
		`{"quantity":1}`:                                     "sku_id is missing",
		`{"sku_id":null,"quantity":1}`:                       "sku_id is missing",
		`{"sku_id":1,"quantity":1}`:                          "sku_id 1: want a string",
		`{"sku_id":"1","quantity":"1"}`:                      "quantity \"1\": want no quotes",
		`{"sku_id":"1","quantity":1.0}`:                      "quantity \"1.0\"",
		`{"sku_id":"1","quantity":1e2}`:                      "quantity",
		`{"sku_id":"1","quantity":-1}`:                       "quantity",
		`{"sku_id":"1","quantity":true}`:                     "quantity",
		`{"sku_id":"1","quantity":[1]}`:                      "not one JSON object",
		`{"sku_id":"1","quantity":1,"quantity":2}`:           `member "quantity" is there twice`,
		`{"sku_id":"1","quantity":1,"qu\u0061ntity":2}`:      `member "quantity" is there twice`,
		`{"sku_id":"1","quantity":1,"ack":"\ud800"}`:         "not one JSON object",
		`{"sku_id":"1","Quantity":1}`:                        `member "Quantity"`,
		`{"sku_id":"1","quantity":1,"price":1}`:              `member "price"`,
		`{"sku_id":"1","quantity":1,"ack":""}`:               "ack is empty",
		`{"sku_id":"1","quantity":1,"ack":"never"}`:          "ack",
		`{"sku_id":"1","quantity":1}{}`:                      "follows",
		`{"sku_id":"1","quantity":1`:                         "not one JSON object",
		`{"sku_id":"1","quantity":1}x`:                       "follows",
		`["sku_id"]`:                                         "not one JSON object",
		`{"sku_id":"1","quantity":1,"ack":"` + "\xff" + `"}`: "not UTF-8",
		`{"sku_id":"1","quantity":1,"opens_at":"2026-01-02T00:00:00Z","closes_at":"2026-01-01T00:00:00Z"}`: "closes_at is not after",
	} {
		lines, faults := read(t, strings.NewReader("{\"sku_id\":\"10\",\"quantity\":1}\n"+wrong+"\n{\"sku_id\":\"11\",\"quantity\":1}"))
		if len(lines) != 2 || len(faults) != 1 || !strings.HasPrefix(faults[0], "line 2: ") || !strings.Contains(faults[0], why) {
			t.Errorf("%s: %d lines, faults %q, want %q", wrong, len(lines), faults, why)
		}
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	for header, why := range map[string]string{
		"\n":                       "column 1, \"\"",
		"sku_id":                   "at least",
		"sku_id,quantity,price":    `column 3, "price": want some of sku_id, `,
		"sku_id,quantity; limit":   "two kinds of separators",
		"sku_id,SKU_ID ,quantity":  `column "sku_id" is there twice`,
		"s\x00k\x00u\x00":          "save the file as CSV in UTF-8",
		"sku_id,quantity,quantity": "twice",
		"1001,5":                   `column 1 is "1001", no name: write the names of the columns into the first line`,
		strings.Repeat("x", 1<<20): "longer than",
	} {
		if _, err := stockfile.NewReader(strings.NewReader(header)); !errors.Is(err, stockfile.ErrHeader) || !strings.Contains(fmt.Sprint(err), why) {
			t.Errorf("header %.40q: %v, want %q", header, err, why)
		}
	}
}

func TestWhatIsNoStockFile(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"": "the file is empty", "\ufeff": "the file is empty",
		`[{"sku_id":"1","quantity":2}]`: "want one JSON object per line, not an array",
	} {
		if _, err := stockfile.NewReader(strings.NewReader(file)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %q", file, err, want)
		}
	}
}

func TestReadErrorIsNotALine(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken disk")
	r, err := stockfile.NewReader(io.MultiReader(strings.NewReader("sku_id,quantity\n1,1\n"), iotest.ErrReader(broken)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	var fault *stockfile.LineError
	if _, err := r.Next(); !errors.Is(err, broken) || errors.As(err, &fault) {
		t.Errorf("got %v", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("sku_id,quantity\n1,1\n"))
	f.Add([]byte("{\"sku_id\":\"1\",\"quantity\":1}\n"))
	f.Add([]byte("quantity,sku_id,ack\n\"1\",2,log\n,,\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := stockfile.NewReader(strings.NewReader(string(file)))
		if err != nil {
			return
		}
		last := 0
		for {
			line, err := r.Next()
			var fault *stockfile.LineError
			switch {
			case errors.Is(err, io.EOF):
				return
			case errors.As(err, &fault):
				line.Number = fault.Number
			case err != nil:
				t.Fatal(err)
			case line.SKU < 1 || line.Quantity < 0 || line.Quantity > stock.UnitsMax || line.Settings.Hold <= 0:
				t.Fatalf("read %+v", line)
			}
			if line.Number <= last {
				t.Fatalf("line %d after %d", line.Number, last)
			}
			last = line.Number
		}
	})
}
