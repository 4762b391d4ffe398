package db

import "slices"

const (
	// keptMax bounds the statements that a connection keeps, and keptOfAll those of a pool. A server has room for 16,382 by default, of all
	// pools together.
	keptMax   = 64
	keptOfAll = 1024
	// keptBytesMax is the length of the longest text that is kept. Longer ones have lists, and come once.
	keptBytesMax = 4 << 10
)

// kept are the prepared statements of a connection that nobody uses, the one used last at the end. database/sql prepares a statement for
// each call, and closes it after that: this saves one of two round trips. One connection is used by one goroutine at a time.
type kept struct {
	all  []*toldStatement
	most int
	over bool // the server has no room: nothing is kept any more
}

// take returns the prepared statement of a text, or nil.
func (k *kept) take(query string) *toldStatement {
	at := slices.IndexFunc(k.all, func(s *toldStatement) bool { return s.query == query })
	if at < 0 {
		return nil
	}
	s := k.all[at]
	k.all = slices.Delete(k.all, at, at+1)
	return s
}

// end closes all that are kept, and keeps none from then on. A statement that cannot be closed is the server's until the connection ends.
func (k *kept) end() {
	for _, s := range k.all {
		_ = s.statement.Close()
	}
	k.all, k.over = nil, true
}

// put keeps a statement, unless it is long, has failed or is there, and returns the one that has to be closed, or nil.
func (k *kept) put(s *toldStatement) *toldStatement {
	if s.failed || k.over || len(s.query) > keptBytesMax || slices.ContainsFunc(k.all, func(o *toldStatement) bool { return o.query == s.query }) {
		return s
	}
	k.all = append(k.all, s)
	if len(k.all) <= k.most {
		return nil
	}
	first := k.all[0]
	k.all = slices.Delete(k.all, 0, 1)
	return first
}
