package persister

// growAfter is how many successes in a row let a portion grow. While the limit stays low, one transaction in so many
// fails.
const growAfter = 16

// portion says how many rows or letters one transaction takes: fewer if the server takes only small statements. It remembers
// the size, so that not every batch has to find it out again.
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
