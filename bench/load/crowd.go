package load

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"sluice/core/config"
)

// Choice says which SKU a shopper wants.
type Choice string

// The choices.
const (
	Hot     Choice = "hot-1"   // all want the first
	Zipf    Choice = "zipf"    // few SKUs are wanted by many: the n-th in proportion to 1/(n+1)^1.1
	Uniform Choice = "uniform" // all SKUs are wanted alike
)

// Crowd is the plan of an open loop: shoppers come when they want, however slow the server is. The same crowd with the
// same seed is the same in every detail.
type Crowd struct {
	Seed   uint64
	Curve  Curve
	Evenly bool          // arrivals are spaced by the curve alone; else as independent people come
	WarmUp time.Duration // in whole seconds, of shoppers before the curve, who come at its mean rate and count nowhere

	Users  int // they come by turns
	SKUs   int
	Choice Choice

	Retries   int           // repetitions of a request, with its key, whose answer says that a repetition may help
	Impatient float64       // share of shoppers who give up after their patience
	Patience  time.Duration // from when they came
	Bots      float64       // share of shoppers who are programs
	BotTries  int           // requests that a bot sends at once, each with a key of its own

	Confirm     float64       // share of accepted reservations that are confirmed
	Release     float64       // share that is released; nobody cares for the rest, which expires
	SettleAfter time.Duration // after the reservation
}

// The bounds of a crowd.
const (
	usersMax    = 1_000_000
	skusMax     = 1_000_000
	retriesMax  = 20
	botTriesMax = 100
)

// Validate joins all faults.
func (c *Crowd) Validate() error {
	var f config.Faults
	if err := c.Curve.Validate(); err != nil {
		f.Include(err)
	} else if c.WarmUp > 0 && c.warmUp().Total() < 1 {
		f.Include(errors.New("warm-up: nobody comes in it: want a longer one, or 0"))
	}
	config.Between(&f, "warm-up", c.WarmUp, 0, time.Hour)
	if c.WarmUp%time.Second != 0 {
		f.Include(fmt.Errorf("warm-up: %v: want whole seconds, so that each second is a part of it or is not", c.WarmUp))
	}
	config.Between(&f, "users", c.Users, 1, usersMax)
	config.Between(&f, "skus", c.SKUs, 1, skusMax)
	config.Between(&f, "retries", c.Retries, 0, retriesMax)
	config.Between(&f, "patience", c.Patience, time.Millisecond, time.Hour)
	config.Between(&f, "bot-tries", c.BotTries, 1, botTriesMax)
	config.Between(&f, "settle-after", c.SettleAfter, 0, time.Hour)
	for _, share := range []struct {
		name  string
		value float64
	}{
		{"impatient", c.Impatient}, {"bots", c.Bots}, {"confirm", c.Confirm}, {"release", c.Release},
	} {
		if !(share.value >= 0 && share.value <= 1) {
			f.Include(fmt.Errorf("%s: %v: want a share, 0 to 1", share.name, share.value))
		}
	}
	if c.Confirm+c.Release > 1 {
		f.Include(fmt.Errorf("confirm and release: %v and %v are more than all", c.Confirm, c.Release))
	}
	switch c.Choice {
	case Hot:
		if c.SKUs > 1 {
			f.Include(errors.New("keys: hot-1 is for one SKU: choose zipf or uniform, or leave --skus at 1"))
		}
	case Zipf, Uniform:
	default:
		f.Include(fmt.Errorf("keys: %q: want hot-1, zipf or uniform", c.Choice))
	}
	return f.Err()
}

// After says what a shopper does with a reservation.
type After uint8

// What shoppers do.
const (
	Forget After = iota // it expires
	Confirm
	Release
)

// Arrival is a shopper who comes.
type Arrival struct {
	At        time.Duration // since the first, warm-up included
	Number    int64         // from 0, warm-up included
	WarmUp    bool
	SKU       int // 0 to SKUs-1, by falling demand; SKUs in the warm-up, which takes nothing away from the others
	User      int // 0 to Users-1
	Bot       bool
	Impatient bool
	After     After
}

// warmUp is the curve before the curve.
func (c *Crowd) warmUp() Curve {
	return Constant(c.Curve.Total()/c.Curve.Length().Seconds(), c.WarmUp)
}

// Arrivals yields who comes, in the order of time.
func (c *Crowd) Arrivals() iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		people := c.people()
		number := int64(0)
		come := func(a Arrival) bool {
			a.Number, a.User = number, int(number%int64(c.Users))
			number++
			people(&a)
			return yield(a)
		}
		if c.WarmUp > 0 {
			for at := range c.warmUp().times(c.gaps(streamWarmUp)) {
				if !come(Arrival{At: at, WarmUp: true}) {
					return
				}
			}
		}
		for at := range c.Curve.times(c.gaps(streamGaps)) {
			if !come(Arrival{At: c.WarmUp + at}) {
				return
			}
		}
	}
}

// Each property is drawn from a stream of its own. So a change of one leaves the others.
const (
	streamGaps = iota
	streamWarmUp
	streamSKU
	streamKind
	streamAfter
)

func (c *Crowd) stream(n uint64) *rand.Rand {
	return rand.New(rand.NewPCG(c.Seed, n))
}

func (c *Crowd) gaps(stream uint64) func() float64 {
	if c.Evenly {
		return evenly()
	}
	return atRandom(c.stream(stream))
}

// people returns what gives arrivals their properties.
func (c *Crowd) people() func(*Arrival) {
	kind, after := c.stream(streamKind), c.stream(streamAfter)
	sku := c.stream(streamSKU)
	choose := func() int { return 0 }
	switch {
	case c.SKUs == 1:
	case c.Choice == Zipf:
		z := rand.NewZipf(sku, 1.1, 1, uint64(c.SKUs-1))
		choose = func() int { return int(z.Uint64()) }
	case c.Choice == Uniform:
		choose = func() int { return sku.IntN(c.SKUs) }
	}
	return func(a *Arrival) {
		a.Bot, a.Impatient = kind.Float64() < c.Bots, kind.Float64() < c.Impatient
		switch draw := after.Float64(); {
		case draw < c.Confirm:
			a.After = Confirm
		case draw < c.Confirm+c.Release:
			a.After = Release
		}
		if a.SKU = choose(); a.WarmUp {
			a.SKU, a.Bot, a.After = c.SKUs, false, Forget
		}
	}
}
