// Package ids has the forms of ids outside of the program, each id in one form only. SKUs, sales and users are strings of
// digits in JSON, tokens, paths and files (Parse). What the shop has beside them are strings with a prefix that names
// their kind (ID); some of these ids tell when they were made and whose they are (Timed).
package ids

import "math"

// Parse reads an id: a positive 64-bit integer, in digits without sign or leading zeros.
func Parse[T ~string | ~[]byte](text T) (id int64, ok bool) {
	if len(text) == 0 || len(text) > 19 || text[0] == '0' {
		return 0, false
	}
	var v uint64 // 19 digits fit
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return int64(v), v <= math.MaxInt64
}
