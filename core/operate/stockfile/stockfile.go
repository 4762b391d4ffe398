// Package stockfile reads files of stock: CSV with a header row, as spreadsheets write it too, or JSON lines. A line
// means one SKU. The package reads every form with only one meaning: UTF-16 with its byte order mark, semicolons or
// tabs between columns, any line ends, TRUE and yes. An error of a line has the number of the line, and costs that line
// only. Memory is bounded, however long the file or a line is.
package stockfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"sluice/core/ids"
	"sluice/core/moment"
	"sluice/core/stock"
)

// lineBytesMax is the longest line that is read; the columns together need far less.
const lineBytesMax = 16 << 10

// Line is one SKU of a file.
type Line struct {
	Number   int // in the file, from 1
	SKU      int64
	Quantity int64
	Settings stock.Settings

	closing string // closes_at as the file has it
	column  int    // of it, from 1; 0 in JSON
}

// ClosingPassed returns the error of a line whose closing has passed. The caller knows by Redis' clock that it has.
func (l *Line) ClosingPassed() *LineError {
	err := fmt.Errorf("closes_at %q: it has passed: give a time to come, or none", cut(l.closing))
	if l.column > 0 {
		err = fmt.Errorf("column %d, %w", l.column, err)
	}
	return &LineError{l.Number, err}
}

// LineError says what is wrong with one line.
type LineError struct {
	Number int
	Err    error
}

// Error implements error.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Number, e.Err) }

// Unwrap is the fault itself.
func (e *LineError) Unwrap() error { return e.Err }

// ErrHeader tells that a CSV file cannot be read, because its first line does not say what its columns
// are.
var ErrHeader = errors.New("header row")

// Reader reads one file.
type Reader struct {
	lines  *bufio.Reader
	end    byte // of a line
	number int
	parse  func(line []byte, into *Line) error
	blank  func(line []byte) bool
}

// NewReader tells by the first byte whether a file is JSON lines or CSV, and reads the header of the
// latter.
func NewReader(file io.Reader) (*Reader, error) {
	text := transform.NewReader(file, unicode.BOMOverride(transform.Nop)) // from UTF-16, if its mark says so
	r := &Reader{lines: bufio.NewReaderSize(text, lineBytesMax), end: '\n', blank: func(line []byte) bool {
		return len(bytes.TrimSpace(line)) == 0
	}}
	first, err := r.lines.Peek(1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read stock file: %w", err)
	}
	switch string(first) {
	case "":
		return nil, errors.New("the file is empty")
	case "[":
		return nil, errors.New("want one JSON object per line, not an array")
	case "{":
		r.parse = parseJSON
		return r, nil
	}
	header, err := r.header()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	t, err := parseHeader(header)
	if err != nil {
		return nil, fmt.Errorf("line 1, %w: %w", ErrHeader, err)
	}
	r.parse, r.blank = t.parse, t.blank
	return r, nil
}

// header reads the first line of a CSV file. If it ends in a carriage return alone, all lines do.
func (r *Reader) header() ([]byte, error) {
	var line []byte
	for len(line) < lineBytesMax {
		c, err := r.lines.ReadByte()
		switch {
		case errors.Is(err, io.EOF), c == '\n':
			r.number++
			return line, nil
		case err != nil:
			return nil, fmt.Errorf("read stock file: %w", err)
		case c == '\r':
			if next, err := r.lines.Peek(1); err == nil && next[0] != '\n' {
				r.end = '\r'
				r.number++
				return line, nil
			}
			continue
		}
		line = append(line, c)
	}
	return nil, &LineError{1, fmt.Errorf("longer than %d bytes", lineBytesMax)}
}

// Next reads the next line. A *LineError is about that line only, and Next can be called again; io.EOF
// is the end of the file, and any other error ends the reading.
func (r *Reader) Next() (Line, error) {
	for {
		text, err := r.line()
		if err != nil {
			return Line{}, err
		}
		if r.blank(text) {
			continue
		}
		line := Line{Number: r.number, Quantity: -1, Settings: stock.Settings{}.WithDefaults()}
		if err := r.parse(text, &line); err != nil {
			return Line{}, &LineError{r.number, err}
		}
		return line, nil
	}
}

// line is the next line without its end. It is overwritten by the next call.
func (r *Reader) line() ([]byte, error) {
	text, err := r.lines.ReadSlice(r.end)
	r.number++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.lines.ReadSlice(r.end)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read stock file: %w", err)
		}
		return nil, &LineError{r.number, fmt.Errorf("longer than %d bytes", lineBytesMax)}
	case errors.Is(err, io.EOF) && len(text) > 0: // a last line without its end
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case err != nil:
		return nil, fmt.Errorf("read stock file: %w", err)
	}
	text = bytes.TrimSuffix(text, []byte{r.end})
	return bytes.TrimSuffix(text, []byte("\r")), nil
}

// fields are the columns of CSV and the members of JSON, and how a value of each is read. Quoted tells
// for JSON whether the value is a string.
var fields = map[string]struct {
	quoted, boolean bool

	set func(*Line, string) error
}{
	"sku_id":          {quoted: true, set: setSKU},
	"quantity":        {set: setQuantity},
	"limit":           {set: setLimit},
	"hold_seconds":    {set: setHold},
	"opens_at":        {quoted: true, set: func(l *Line, v string) error { return setTime(&l.Settings.OpensAtMS, v) }},
	"closes_at":       {quoted: true, set: setClosing},
	"ack":             {quoted: true, set: setAck},
	"shopper_deducts": {boolean: true, set: func(l *Line, v string) error { return setBool(&l.Settings.ShopperDeducts, v) }},
	"frozen":          {boolean: true, set: func(l *Line, v string) error { return setBool(&l.Settings.Frozen, v) }},
}

const fieldNames = "sku_id, quantity, limit, hold_seconds, opens_at, closes_at, ack, shopper_deducts, frozen"

// set reads one value into the line. An empty value means the default, if there is one.
func (l *Line) set(name, value string) error {
	if value == "" && name != "sku_id" && name != "quantity" {
		return nil
	}
	if err := fields[name].set(l, value); err != nil {
		return fmt.Errorf("%s %q: %w", name, cut(value), err)
	}
	return nil
}

// complete checks the rules about several columns of a line.
func (l *Line) complete() error {
	switch {
	case l.SKU == 0:
		return errors.New("sku_id is missing")
	case l.Quantity < 0:
		return errors.New("quantity is missing")
	case l.Settings.NeverSells():
		return errors.New("closes_at is not after opens_at")
	}
	return nil
}

func setSKU(l *Line, value string) error {
	sku, ok := ids.Parse(value)
	if !ok {
		return fmt.Errorf("want digits without leading zeros, 1 to %d", int64(math.MaxInt64))
	}
	l.SKU = sku
	return nil
}

func setQuantity(l *Line, value string) (err error) {
	l.Quantity, err = integer(value, 0, stock.UnitsMax)
	return err
}

func setLimit(l *Line, value string) (err error) {
	l.Settings.Limit, err = integer(value, 0, stock.QuantityMax)
	return err
}

func setHold(l *Line, value string) error {
	seconds, err := integer(value, 1, int64(stock.HoldMax/time.Second))
	l.Settings.Hold = time.Duration(seconds) * time.Second
	return err
}

func setTime(into *int64, value string) error {
	at, err := moment.Parse(value)
	if err != nil {
		return err
	}
	if at.UnixMilli() == 0 {
		return errors.New("want a later time, or none")
	}
	*into = at.UnixMilli()
	return nil
}

func setClosing(l *Line, value string) error {
	l.closing = value
	return setTime(&l.Settings.ClosesAtMS, value)
}

func setAck(l *Line, value string) (err error) {
	if l.Settings.Ack, err = stock.ParseAck(value); err != nil {
		return errors.New("want default, redis, replica or log")
	}
	return nil
}

func setBool(into *bool, value string) error {
	if value != "true" && value != "false" {
		return errors.New("want true or false")
	}
	*into = value == "true"
	return nil
}

// integer reads digits and nothing else: no sign, point, exponent or leading zero.
func integer(value string, low, high int64) (int64, error) {
	fault := fmt.Errorf("want a whole number, %d to %d", low, high)
	if len(value) == 0 || len(value) > 1 && value[0] == '0' {
		return 0, fault
	}
	for i := range len(value) {
		if value[i] < '0' || value[i] > '9' {
			return 0, fault
		}
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < low || n > high {
		return 0, fault
	}
	return n, nil
}

// cut keeps a value short enough to be shown.
func cut(value string) string {
	if len(value) > 40 {
		return value[:40] + "..."
	}
	return value
}
