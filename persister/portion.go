package persister

// growAfter is how many successes in a row let a portion grow: where the limit is near, one transaction in so many
// fails.
const growAfter = 16

// portion is how many things one transaction takes: fewer where the server takes only small statements. It remembers
// that, so that not every batch finds it out again.
type portion struct {
	size, most int
	calm       int // successes in a row at this size
}

func newPortion(most int) portion { return portion{size: most, most: most} }

// fits notes a success.
func (p *portion) fits() {
	if p.calm++; p.calm >= growAfter {
		p.size, p.calm = min(2*p.size, p.most), 0
	}
}

// tooLarge notes that so many were too large together.
func (p *portion) tooLarge(tried int) { p.size, p.calm = max(1, tried/2), 0 }

// inPortions has write take all of some things, as many at once as the server takes.
func inPortions[T any](p *portion, all []T, write func(some []T) error) error {
	for len(all) > 0 {
		some := all[:min(len(all), p.size)]
		switch err := write(some); {
		case err == nil:
			p.fits()
			all = all[len(some):]
		case troubleOf(err) == troubleTooLarge && len(some) > 1:
			p.tooLarge(len(some))
		default:
			return err
		}
	}
	return nil
}
