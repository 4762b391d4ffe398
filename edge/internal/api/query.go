package api

import (
	"bytes"
	"slices"
	"strconv"
)

// parameter is one of a query's, as sent.
type parameter struct{ name, value []byte }

// readQuery reads the query. Each parameter is one of known and comes once; nothing is decoded, since
// no value that is understood here needs it.
func (r *request) readQuery(known []string) error {
	r.query = r.query[:0]
	rest := r.ctx.URI().QueryString()
	for len(rest) > 0 {
		var item []byte
		item, rest, _ = bytes.Cut(rest, []byte{'&'})
		name, value, _ := bytes.Cut(item, []byte{'='})
		if !slices.Contains(known, string(name)) {
			return malformed("", "unknown query parameter %s", strconv.QuoteToASCII(string(name[:min(len(name), 64)])))
		}
		for _, p := range r.query {
			if bytes.Equal(p.name, name) {
				return malformed("", "the query parameter %s is there twice", name)
			}
		}
		r.query = append(r.query, parameter{name, value})
	}
	return nil
}
