package report

import (
	"strconv"

	"github.com/dustin/go-humanize"
)

// Number writes a value for people: with up to four digits, more only before the point.
func Number(v float64) string {
	if v >= 1000 && v < 1e15 {
		return humanize.Comma(int64(v + 0.5))
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
