// Package live shows on a terminal how a load run goes. It changes nothing of the terminal but its own lines, and leaves
// the cursor below them, so a program that is killed leaves a terminal that works.
package live

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"sluice/bench/report"
)

const (
	every    = 250 * time.Millisecond
	barWidth = 30
)

// View is what a person sees of a run.
type View struct {
	out  io.Writer
	size func() (columns, rows int)
	now  func() time.Time

	start  time.Time
	length time.Duration // warm-up included
	warmUp time.Duration

	mu    sync.Mutex
	last  *report.Second // that is over
	all   report.Latency
	sums  map[report.Word]int64 // without the warm-up
	late  int64
	drawn []int // columns of each line on the terminal
}

// New returns the view of a run that begins now. size tells how large the terminal is.
func New(out io.Writer, size func() (columns, rows int), plan *report.Plan, now func() time.Time) *View {
	return &View{
		out: out, size: size, now: now, start: now(), sums: map[report.Word]int64{},
		length: ms(plan.WarmUpMS + plan.LengthMS), warmUp: ms(plan.WarmUpMS),
	}
}

func ms(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

// Second adds a second that is over, and the latencies of all so far.
func (v *View) Second(s report.Second, all report.Latency) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last, v.all = &s, all
	if s.WarmUp {
		return
	}
	v.late += s.Late
	for word, n := range s.Outcomes {
		v.sums[word] += n
	}
}

// Run draws the view until the context ends, and once more then.
func (v *View) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		v.draw()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	v.draw()
}

// draw writes the lines over those of before. If nobody can see them, there is nobody to tell.
func (v *View) draw() {
	v.mu.Lock()
	defer v.mu.Unlock()
	columns, rows := v.size()
	columns, rows = max(20, columns), max(2, rows)
	up := 0
	for _, length := range v.drawn { // a terminal that is narrower now has wrapped them
		up += max(1, (length+columns-1)/columns)
	}
	var b strings.Builder
	if up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", min(up, rows-1))
	}
	b.WriteString("\r\x1b[J")
	v.drawn = v.drawn[:0]
	lines := v.lines(columns - 1)
	for _, line := range lines[:min(len(lines), rows-1)] {
		line = cut(line, columns-1)
		v.drawn = append(v.drawn, utf8.RuneCountInString(line))
		b.WriteString(line + "\n")
	}
	_, _ = io.WriteString(v.out, b.String())
}

// cut shortens a line, which would wrap otherwise.
func cut(line string, columns int) string {
	for i := range line {
		if columns--; columns < 0 {
			return line[:i]
		}
	}
	return line
}

func (v *View) lines(columns int) []string {
	gone := min(v.now().Sub(v.start), v.length)
	head := fmt.Sprintf("%3.0fs of %.0fs", gone.Seconds(), v.length.Seconds())
	if bar := min(barWidth, columns-len(head)-len(" []")); bar >= barWidth/5 {
		filled := bar
		if v.length > 0 {
			filled = int(time.Duration(bar) * gone / v.length)
		}
		head += " [" + strings.Repeat("#", filled) + strings.Repeat(".", bar-filled) + "]"
	}
	if gone < v.warmUp {
		head += " warm-up"
	}
	if v.last == nil {
		return []string{head}
	}
	row := func(name, value, more string) string { return rowOf(columns, name, value, more) }
	lines := []string{
		head,
		row("sent", perSecond(v.last.Sent), "of "+perSecond(v.last.Planned)+" planned; "+humanize.Comma(v.last.Late)+" late, "+humanize.Comma(v.late)+" in all"),
	}
	for _, word := range report.Words {
		if n := v.last.Outcomes[word]; n > 0 || v.sums[word] > 0 || word == report.Accepted {
			lines = append(lines, row(strings.ReplaceAll(string(word), "_", " "), perSecond(n), humanize.Comma(v.sums[word])+" in all"))
		}
	}
	lines = append(lines,
		row("last second", "p50 "+millis(v.last.P50MS), "p99 "+millis(v.last.P99MS)),
		row("all", "p50 "+millis(v.all.P50MS), "p99 "+millis(v.all.P99MS)+"  p99.9 "+millis(v.all.P999MS)+"  longest "+millis(v.all.MaxMS)))
	if left := v.last.StockLeft; left != nil {
		lines = append(lines, row("stock left", humanize.Comma(*left), ""))
	}
	return lines
}

const nameWidth, valueWidth = 11, 14

// rowOf is a line of a table. Where there is little room, the value has it first, then the name.
func rowOf(columns int, name, value, more string) string {
	if columns < nameWidth+1+valueWidth {
		name = cut(name, max(0, columns-1-len(value)))
		return name + strings.Repeat(" ", max(0, columns-utf8.RuneCountInString(name)-len(value))) + value
	}
	return strings.TrimRight(fmt.Sprintf("%-*s %*s  %s", nameWidth, name, valueWidth, value, more), " ")
}

func perSecond(n int64) string { return humanize.Comma(n) + "/s" }

func millis(v float64) string {
	if v >= 1000 {
		return strconv.FormatFloat(v/1000, 'f', 2, 64) + " s"
	}
	return strconv.FormatFloat(v, 'g', 3, 64) + " ms"
}
