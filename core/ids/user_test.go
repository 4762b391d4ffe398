package ids_test

import (
	"encoding/json"
	"math"
	"testing"

	"sluice/core/ids"
)

func TestUsersAreStringsOfDigits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ids.User{
		`"1"`: 1, `"42"`: 42, `"9223372036854775807"`: math.MaxInt64,
		`"0"`: 0, `"01"`: 0, `"-1"`: 0, `"9223372036854775808"`: 0, `""`: 0, `"4 2"`: 0, `42`: 0, `"ses_0000000000001"`: 0,
	} {
		var got ids.User
		if err := json.Unmarshal([]byte(text), &got); (err == nil) != (want > 0) || got != want {
			t.Errorf("%s is %d, %v, want %d", text, got, err, want)
		}
		if want == 0 {
			continue
		}
		if written, err := json.Marshal(want); string(written) != text || err != nil {
			t.Errorf("%d is written %s, %v, want %s", want, written, err, text)
		}
		if value, err := want.Value(); value != int64(want) || err != nil {
			t.Errorf("%d is stored as %v, %v", want, value, err)
		}
	}
	for _, none := range []ids.User{0, -1} {
		if text, err := json.Marshal(none); err == nil {
			t.Errorf("%d, which is no id, is written %s", none, text)
		}
		if value, err := none.Value(); err == nil {
			t.Errorf("%d, which is no id, is stored as %v", none, value)
		}
	}
}
