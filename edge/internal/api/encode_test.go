package api

import "testing"

func TestTextsOfRowsShowThemselves(t *testing.T) {
	t.Parallel()
	const hostile = "a\x1b\u009b\u202e\u2028\U000E0041\"\\\xff葛"
	const want = `"a\u001b\u009b\u202e\u2028\udb40\udc41\"\\` + "\ufffd葛\""
	if got := string(appendText(nil, hostile)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
