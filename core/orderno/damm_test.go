package orderno

import "testing"

// The table is what its source says: a quasigroup with zeros on its diagonal in which no two neighbours can be exchanged.
// The digits 5, 7, 2 have the check digit 4.
func TestDamm(t *testing.T) {
	t.Parallel()
	for a := range 10 {
		var row, column [10]bool
		for b := range 10 {
			row[damm[a][b]], column[damm[b][a]] = true, true
		}
		if all := [10]bool{true, true, true, true, true, true, true, true, true, true}; row != all || column != all || damm[a][a] != 0 {
			t.Errorf("row or column %d lacks a digit, or its diagonal is not 0", a)
		}
		for b := range 10 {
			for c := range 10 {
				if b != c && damm[damm[a][b]][c] == damm[damm[a][c]][b] {
					t.Errorf("after %d, nobody tells %d%d from %d%d", a, b, c, c, b)
				}
			}
		}
	}
	if got := check([]byte("572")); got != 4 {
		t.Errorf("572 has the check digit %d, want 4", got)
	}
}
