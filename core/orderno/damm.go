package orderno

// damm is the quasigroup of order 10 on page 111 of H. Michael Damm, Total anti-symmetrische Quasigruppen, dissertation,
// Philipps-Universität Marburg, 2004. It is weakly totally anti-symmetric with zeros on its diagonal: so a check digit by it
// tells each wrong digit, and each exchange of two neighbours.
var damm = [10][10]byte{
	{0, 3, 1, 7, 5, 9, 8, 6, 4, 2},
	{7, 0, 9, 2, 1, 5, 4, 8, 6, 3},
	{4, 2, 0, 6, 8, 7, 1, 3, 5, 9},
	{1, 7, 5, 0, 9, 8, 3, 4, 2, 6},
	{6, 1, 2, 3, 0, 4, 5, 9, 7, 8},
	{3, 6, 7, 4, 2, 0, 9, 5, 8, 1},
	{5, 8, 6, 9, 7, 2, 0, 1, 3, 4},
	{8, 9, 4, 5, 3, 6, 2, 0, 1, 7},
	{9, 4, 3, 8, 6, 1, 7, 2, 0, 5},
	{2, 5, 8, 1, 4, 3, 6, 7, 9, 0},
}

// check is the check digit of digits. With their check digit behind them, it is 0.
func check(digits []byte) (c byte) {
	for _, d := range digits {
		c = damm[c][d-'0']
	}
	return c
}
