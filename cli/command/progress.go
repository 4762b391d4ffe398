package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"sluice/core/text"
)

const (
	barWidth  = 24
	barEvery  = 100 * time.Millisecond
	lineEvery = 5 * time.Second // if nobody watches, because a log keeps every line
)

// tellEvery is how often lines tell how far something has come.
func (c *Console) tellEvery() time.Duration {
	if c.ErrIsTerminal {
		return time.Second
	}
	return lineEvery
}

// progress shows how far a load has come. On a terminal it draws a bar, elsewhere it writes a line now and then.
type progress struct {
	c     *Console
	total int64        // bytes; 0: not known
	done  func() int64 // bytes
	now   func() time.Time

	start, shown time.Time
	drawn        bool // a bar is on the terminal's last line
}

func (p *progress) begin() {
	p.start = p.now()
	p.shown = p.start
}

// show shows the progress, if enough time has passed.
func (p *progress) show(lines int64) {
	now, every := p.now(), lineEvery
	if p.c.ErrIsTerminal {
		every = barEvery
	}
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	if !p.c.ErrIsTerminal {
		p.c.Notef("loading: %s", p.text(lines, now))
		return
	}
	p.clear()
	_, _ = fmt.Fprintf(p.c.Err, "loading %s", p.text(lines, now)) // if it cannot be written, there is nobody to tell
	p.drawn = true
}

// clear removes the bar.
func (p *progress) clear() {
	if p.drawn {
		_, _ = io.WriteString(p.c.Err, "\r\x1b[K") // if it cannot be written, there is nobody to tell
		p.drawn = false
	}
}

func (p *progress) text(lines int64, now time.Time) string {
	seconds := now.Sub(p.start).Seconds()
	rate := float64(lines) / seconds
	text := fmt.Sprintf("%s lines, %s/s", number(lines), number(int64(rate)))
	done := p.done()
	if p.total == 0 || done == 0 {
		return text
	}
	part := min(float64(done)/float64(p.total), 1)
	left := time.Duration(seconds * (1 - part) / part * float64(time.Second)).Round(time.Second)
	text = fmt.Sprintf("%3.0f%%, %s, %v left", 100*part, text, left)
	if !p.c.ErrIsTerminal {
		return strings.TrimLeft(text, " ")
	}
	filled := int(part * barWidth)
	return fmt.Sprintf("[%s%s] %s", strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), text)
}

// rate says how fast a load was.
func (c *Console) rate(lines int64, seconds float64) {
	if seconds > 0 {
		c.Printf("%s lines in %.1f s (%s/s)\n", number(lines), seconds, number(int64(float64(lines)/seconds)))
	}
}

// input opens a file to load, or the standard input for -. Its size is 0 if nobody knows it. what names the file in an error.
// Reading ends with ctx.
func (c *Console) input(ctx context.Context, path, what string) (io.ReadCloser, int64, error) {
	if path == "-" {
		if c.InIsTerminal {
			c.Notef("reading from the terminal, up to Ctrl-D")
		}
		return io.NopCloser(untilEnd(ctx, c.In)), 0, nil
	}
	file, err := os.Open(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, 0, fmt.Errorf("%s %w", what, text.OfFile(err))
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		return file, info.Size(), nil
	}
	return struct { // perhaps a pipe
		io.Reader
		io.Closer
	}{untilEnd(ctx, file), file}, 0, nil
}

// endingReader is a reader whose reads end with a context.
type endingReader struct {
	ctx context.Context //nolint:containedctx // Read has none
	r   io.Reader
}

// untilEnd makes the reads of a terminal or of a pipe, which nobody can cut off, return once ctx has ended. The read itself
// goes on until something comes, or until the program ends.
func untilEnd(ctx context.Context, r io.Reader) io.Reader { return &endingReader{ctx, r} }

// Read implements io.Reader.
func (e *endingReader) Read(b []byte) (int, error) {
	type result struct {
		bytes []byte
		err   error
	}
	results := make(chan result, 1)
	go func() {
		own := make([]byte, len(b)) // b is the caller's again if ctx ends
		n, err := e.r.Read(own)
		results <- result{own[:n], err}
	}()
	select {
	case read := <-results:
		return copy(b, read.bytes), read.err
	case <-e.ctx.Done():
		return 0, e.ctx.Err()
	}
}

// countingReader counts the bytes that are read through it.
type countingReader struct {
	r io.Reader
	n atomic.Int64
}

// Read implements io.Reader.
func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}

func (c *countingReader) count() int64 { return c.n.Load() }
