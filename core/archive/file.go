package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// The form of the files.
const (
	Format  = "sluice archive"
	Version = 1

	headBytesMax = 1 << 20 // of a line of JSON
	cellsMax     = 1 << 20
	eventsMax    = 1 << 22  // events of a cell in one file
	eventBytes   = 64 << 10 // bytes of an event at most, encoded as a batch
	lengthBytes  = 4
)

// suffix is how the name of each file ends.
const suffix = ".sluice.gz"

// ErrFile means that the file is not as an archiver writes it.
var ErrFile = errors.New("not a whole file of the archive")

// Header is the first line of a file.
type Header struct {
	Format     string    `json:"format"`
	Version    int       `json:"version"`
	File       int64     `json:"file"` // its number, from 1 on in each ledger
	Deployment string    `json:"deployment"`
	Ledger     string    `json:"ledger"` // the identity of the database
	MadeAt     time.Time `json:"made_at"`
	Before     time.Time `json:"before"` // all events are older, in Redis time
	Cells      int64     `json:"cells"`
	Events     int64     `json:"events"`
	Repairs    int64     `json:"repairs,omitzero"`
	SHA256     string    `json:"sha256"` // of all that follows this line
}

// State is a cell before or after the events of a file.
type State struct {
	Epoch uint32 `json:"epoch"`
	Seq   uint64 `json:"seq"`
	Avail int64  `json:"avail"`
	Held  int64  `json:"held"`
	Sold  int64  `json:"sold"`
}

// String is the state for people.
func (s State) String() string {
	return fmt.Sprintf("%d.%d with %d available, %d held and %d sold", s.Epoch, s.Seq, s.Avail, s.Held, s.Sold)
}

func stateOf(c *ledger.Checkpoint) State { return State{c.Epoch, c.Seq, c.Avail, c.Held, c.Sold} }

// Section is the line before the events of one cell.
type Section struct {
	SKU    int64  `json:"sku_id,string"`
	Sale   uint32 `json:"sale_id,string,omitzero"`
	Bucket uint16 `json:"bucket,omitzero"`
	From   State  `json:"from"` // the state after the events before these; seq 0: there are none
	To     State  `json:"to"`
	Events int64  `json:"events"`
	Bytes  int64  `json:"bytes"` // of the events
}

// Cell is the cell of the section.
func (s *Section) Cell() stock.Cell {
	return stock.Cell{SKU: s.SKU, Pool: s.Sale, Bucket: s.Bucket}
}

// stretch has the events of a cell that leave together.
type stretch struct {
	base   ledger.Checkpoint
	kept   []ledger.Recorded // before them
	buyers map[int64]int64   // by user of these events: units of reservations that have left
	events []ledger.Recorded
	fold   *Fold
}

// fileOf returns the bytes of a file before compression.
func fileOf(h Header, some load) ([]byte, error) {
	var body bytes.Buffer
	var events []byte
	h.Format, h.Version, h.Cells, h.Events, h.Repairs = Format, Version, int64(len(some.cells)), 0, int64(len(some.repairs))
	for _, s := range some.cells {
		events = events[:0]
		for i := range s.events {
			e := &s.events[i]
			at := len(events)
			events = append(events, 0, 0, 0, 0)
			events = event.Append(events, event.Batch{Partition: e.Reservation.Partition(), TimeMS: e.TimeMS, Events: []event.Event{e.Event}})
			binary.BigEndian.PutUint32(events[at:], uint32(len(events)-at-lengthBytes))
		}
		to := s.fold.Checkpoint()
		line, err := json.Marshal(Section{
			SKU: to.Cell.SKU, Sale: to.Cell.Pool, Bucket: to.Cell.Bucket,
			From: stateOf(&s.base), To: stateOf(&to), Events: int64(len(s.events)), Bytes: int64(len(events)),
		})
		if err != nil {
			return nil, fmt.Errorf("write archive: %w", err)
		}
		h.Events += int64(len(s.events))
		body.Write(line)
		body.WriteByte('\n')
		body.Write(events)
	}
	for i := range some.repairs {
		body.Write(some.repairs[i].line)
		body.WriteByte('\n')
	}
	sum := sha256.Sum256(body.Bytes())
	h.SHA256 = hex.EncodeToString(sum[:])
	head, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("write archive: %w", err)
	}
	return append(append(head, '\n'), body.Bytes()...), nil
}

// write makes a new file, and returns once the disk has it. An existing file is an error.
func write(path string, content []byte) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // G304: the caller's user names the directory
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	packed, err := gzip.NewWriterLevel(file, gzip.BestSpeed)
	if err == nil {
		_, err = packed.Write(content)
	}
	if err == nil {
		err = packed.Close()
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// syncDir brings the names of a directory to the disk.
func syncDir(dir string) (err error) {
	d, err := os.Open(dir) //nolint:gosec // G304: the caller's user names the directory
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// Reader reads a file. It yields its sections one by one, each with its events, and fails at the end unless the file is whole.
type Reader struct {
	Header  Header
	Repairs []jsontext.Value // once Next has come to the end

	packed *gzip.Reader
	in     *bufio.Reader
	body   io.Writer // of the checksum
	sum    func() string
	cells  int64
	events int64
}

// NewReader reads the header. If the file is no archive file, the error wraps ErrFile.
func NewReader(file io.Reader) (*Reader, error) {
	packed, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	sum := sha256.New()
	r := &Reader{packed: packed, in: bufio.NewReaderSize(packed, 1<<16), body: sum, sum: func() string { return hex.EncodeToString(sum.Sum(nil)) }}
	line, err := r.line()
	if err == nil {
		err = json.Unmarshal(line, &r.Header)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: its header: %w", ErrFile, err)
	}
	h := &r.Header
	switch {
	case h.Format != Format:
		return nil, fmt.Errorf("%w: its header names the form %.40q", ErrFile, h.Format)
	case h.Version != Version:
		return nil, fmt.Errorf("%w: form %d, this program knows form %d: use the version of sluice that wrote it", ErrFile, h.Version, Version)
	}
	return r, nil
}

func (r *Reader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			return line, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) || len(line) > headBytesMax {
			return line, err
		}
	}
}

// Next reads the next section. It returns io.EOF at the end of a whole file.
func (r *Reader) Next() (s Section, events []ledger.Recorded, err error) {
	if r.cells == r.Header.Cells && int64(len(r.Repairs)) < r.Header.Repairs {
		if err := r.repairs(); err != nil {
			return s, nil, err
		}
	}
	line, err := r.line()
	if errors.Is(err, io.EOF) && len(line) == 0 {
		return s, nil, r.end()
	}
	if err == nil {
		_, _ = r.body.Write(line) // a hash's Write never fails
		err = json.Unmarshal(line, &s)
	}
	if err == nil && (s.SKU <= 0 || s.Events < 1 || s.Events > eventsMax || r.cells >= cellsMax) {
		err = errors.New("numbers out of range")
	}
	if err != nil {
		return s, nil, fmt.Errorf("%w: section %d: %w", ErrFile, r.cells+1, err)
	}
	r.cells++
	var data []byte
	read := int64(0)
	for range s.Events {
		if data, err = r.event(data); err != nil {
			return s, nil, fmt.Errorf("%w: event %d of %v: %w", ErrFile, len(events)+1, s.Cell(), err)
		}
		b, err := event.Decode(data[lengthBytes:])
		if err == nil && (len(b.Events) != 1 || b.Events[0].Cell != s.Cell()) {
			err = errors.New("it is not one event of this cell")
		}
		if err != nil {
			return s, nil, fmt.Errorf("%w: event %d of %v: %w", ErrFile, len(events)+1, s.Cell(), err)
		}
		read += int64(len(data))
		events = append(events, ledger.Recorded{Event: b.Events[0], TimeMS: b.TimeMS})
	}
	if read != s.Bytes {
		return s, nil, fmt.Errorf("%w: %v has %d bytes of events, and its section says %d", ErrFile, s.Cell(), read, s.Bytes)
	}
	r.events += s.Events
	return s, events, nil
}

// event reads the bytes of one event. Their length stands before them.
func (r *Reader) event(data []byte) ([]byte, error) {
	data = append(data[:0], make([]byte, lengthBytes)...)
	if _, err := io.ReadFull(r.in, data); err != nil {
		return data, err
	}
	n := int(binary.BigEndian.Uint32(data))
	if n > eventBytes {
		return data, fmt.Errorf("%d bytes", n)
	}
	data = append(data, make([]byte, n)...)
	_, err := io.ReadFull(r.in, data[lengthBytes:])
	_, _ = r.body.Write(data) // a hash's Write never fails
	return data, err
}

// repairs reads the rows after the last section.
func (r *Reader) repairs() error {
	for range min(r.Header.Repairs, repairsAtOnce) {
		line, err := r.line()
		_, _ = r.body.Write(line) // a hash's Write never fails
		row := jsontext.Value(bytes.TrimSuffix(line, []byte{'\n'}))
		if err == nil && !row.IsValid() {
			err = errors.New("no row")
		}
		if err != nil {
			return fmt.Errorf("%w: repair %d: %w", ErrFile, len(r.Repairs)+1, err)
		}
		r.Repairs = append(r.Repairs, slices.Clone(row))
	}
	return nil
}

func (r *Reader) end() error {
	switch sum := r.sum(); {
	case sum != r.Header.SHA256:
		return fmt.Errorf("%w: its content has the SHA-256 %s, and its header says %.64s: it was changed", ErrFile, sum, r.Header.SHA256)
	case int64(len(r.Repairs)) != r.Header.Repairs:
		return fmt.Errorf("%w: it has %d repairs, and its header says %d", ErrFile, len(r.Repairs), r.Header.Repairs)
	case r.cells != r.Header.Cells || r.events != r.Header.Events:
		return fmt.Errorf("%w: it has %d events of %d cells, and its header says %d of %d", ErrFile, r.events, r.cells, r.Header.Events, r.Header.Cells)
	}
	return io.EOF
}

// Checked is a file that was read whole.
type Checked struct {
	Header  Header
	Repairs []jsontext.Value // rows of the table of repairs
	SHA256  [32]byte         // of the file as it is on disk
}

// Check reads a whole file. It checks the checksum and the counts, and that the events of each cell follow from each
// other and add up to the state in their section. It calls each with every section.
func Check(path string, each func(*Section, []ledger.Recorded) error) (c Checked, err error) {
	file, err := os.Open(path) //nolint:gosec // G304: the caller's user names it
	if err != nil {
		return c, fmt.Errorf("read archive: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return c, fmt.Errorf("%w: it is a directory: name the files in it, which end with %s", ErrFile, suffix)
	}
	sum := sha256.New()
	all := io.TeeReader(file, sum)
	r, err := NewReader(all)
	if err != nil {
		return c, err
	}
	c.Header = r.Header
	for {
		s, events, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = checkSection(&s, events)
		}
		if err == nil && each != nil {
			err = each(&s, events)
		}
		if err != nil {
			return c, err
		}
	}
	if _, err := io.Copy(io.Discard, all); err != nil { // whatever follows the end
		return c, fmt.Errorf("read archive: %w", err)
	}
	c.Repairs = r.Repairs
	sum.Sum(c.SHA256[:0])
	return c, nil
}

// checkSection checks the events of a section by themselves. Without the events before them it can check only
// balances and positions.
func checkSection(s *Section, events []ledger.Recorded) error {
	at := s.From
	if at.Seq == 0 {
		at = State{Epoch: 1}
	}
	for i := range events {
		e := &events[i]
		if !e.Follows(stock.Position{Epoch: at.Epoch, Seq: at.Seq}) {
			continue // a rebase has skipped it; if not, the state at the end differs
		}
		avail, held, sold := e.Before()
		if e.Kind != event.KindRebase && (avail != at.Avail || held != at.Held || sold != at.Sold) {
			return fmt.Errorf("%w: event %d.%d of %v does not follow from the one before", ErrFile, e.Epoch, e.Seq, s.Cell())
		}
		at = State{e.Epoch, e.Seq, e.Avail, e.Held, e.Sold}
	}
	if at != s.To {
		return fmt.Errorf("%w: the events of %v end at %v, and its section says %v", ErrFile, s.Cell(), at, s.To)
	}
	return nil
}
