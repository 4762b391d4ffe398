package ids_test

import (
	"testing"

	"sluice/core/ids"
)

func TestParse(t *testing.T) {
	t.Parallel()
	f := func(text string, want int64) {
		t.Helper()
		if got, ok := ids.Parse(text); ok != (want != 0) || ok && got != want {
			t.Errorf("Parse(%q) = %d, %v, want %d", text, got, ok, want)
		}
	}
	f("1", 1)
	f("9223372036854775807", 1<<63-1)
	for _, text := range []string{
		"", "0", "00", "01", "+1", "-1", "1.0", "1e3", " 1", "1 ", "1\n", "{1}", "٣", "0x1", "1_000",
		"9223372036854775808", "9999999999999999999", "10000000000000000000",
		"18446744073709551617", "184467440737095516161", // each is 1 in 64 bits
	} {
		f(text, 0)
	}
}
