package queue_test

import (
	"testing"

	"sluice/catalog/internal/queue"
)

func TestCursors(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"1794427200250.17", "0.1", "100000000000000.9223372036854775807"} {
		if c, err := queue.ParseCursor(text); err != nil || c.String() != text || *c.Next() != text {
			t.Errorf("%s is read as %s, %v", text, c, err)
		}
	}
	for _, text := range []string{".", "1", "1.0", "01.1", "1.01", "-1.1", "1.-1", "1.1.1", "x.1", "1.9223372036854775808", "100000000000001.1"} {
		if c, err := queue.ParseCursor(text); err == nil {
			t.Errorf("%q is read as %s", text, c)
		}
	}
	if c, err := queue.ParseCursor(""); err != nil || c != (queue.Cursor{}) || c.Next() != nil {
		t.Errorf("the beginning is read as %s, %v", c, err)
	}
}
