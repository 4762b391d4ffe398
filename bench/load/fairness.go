package load

import (
	"sync"
	"time"

	"sluice/bench/report"
)

const (
	binsMax   = 1_000_000
	slicesMax = 50
)

// fairness counts who won the most wanted SKU, and who lost it, by the millisecond in which they came. In runs of more
// than a quarter of an hour by longer pieces.
type fairness struct {
	mu                sync.Mutex
	from, bin         time.Duration
	bins              []struct{ won, lost int32 }
	won, lost         int64
	botsWon, botsLost int64
}

func newFairness(from, length time.Duration) *fairness {
	f := &fairness{from: from, bin: max(time.Millisecond, length/binsMax+1)}
	f.bins = make([]struct{ won, lost int32 }, length/f.bin+1)
	return f
}

// add notes what became of a shopper.
func (f *fairness) add(a *Arrival, won bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	bin := &f.bins[min(int(max(0, a.At-f.from)/f.bin), len(f.bins)-1)]
	if won {
		bin.won++
		f.won++
		if a.Bot {
			f.botsWon++
		}
		return
	}
	bin.lost++
	f.lost++
	if a.Bot {
		f.botsLost++
	}
}

// figure returns nil unless somebody won and somebody lost.
func (f *fairness) figure(sku int64) *report.Fairness {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.won == 0 || f.lost == 0 {
		return nil
	}
	r := &report.Fairness{
		SKU: sku, Winners: f.won, Losers: f.lost,
		BotWinners: float64(f.botsWon) / float64(f.won), BotShoppers: float64(f.botsWon+f.botsLost) / float64(f.won+f.lost),
	}
	var inOrder, first, wonBefore, came float64
	width := len(f.bins)/slicesMax + 1
	for i, bin := range f.bins {
		won, lost := float64(bin.won), float64(bin.lost)
		inOrder += lost * (wonBefore + won/2)
		if room := float64(f.won) - came; room > 0 && won+lost > 0 { // of a piece that is among the first in part, as large a part
			first += won * min(1, room/(won+lost))
		}
		wonBefore += won
		came += won + lost
		if i%width == 0 {
			from := time.Duration(i) * f.bin
			r.Slices = append(r.Slices, report.Slice{FromMS: inMS(from), UntilMS: inMS(from + time.Duration(width)*f.bin)})
		}
		slice := &r.Slices[len(r.Slices)-1]
		slice.Winners += int64(bin.won)
		slice.Losers += int64(bin.lost)
	}
	r.InOrder = inOrder / float64(f.won) / float64(f.lost)
	r.FirstCome = first / float64(f.won)
	return r
}

func inMS(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
