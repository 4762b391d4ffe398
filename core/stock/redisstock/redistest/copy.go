package redistest

import (
	"testing"

	"github.com/redis/rueidis"
)

// Copy returns the data of a single Redis, by key.
func Copy(t testing.TB, client rueidis.Client) map[string]string {
	t.Helper()
	keys, err := client.Do(t.Context(), client.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	copied := map[string]string{}
	for _, key := range keys {
		if copied[key], err = client.Do(t.Context(), client.B().Dump().Key(key).Build()).ToString(); err != nil {
			t.Fatal(err)
		}
	}
	return copied
}

// SetBack puts a copy in the place of all that a single Redis has.
func SetBack(t testing.TB, client rueidis.Client, copied map[string]string) {
	t.Helper()
	commands := []rueidis.Completed{client.B().Flushdb().Build()}
	for key, value := range copied {
		commands = append(commands, client.B().Restore().Key(key).Ttl(0).SerializedValue(value).Build())
	}
	for _, answer := range client.DoMulti(t.Context(), commands...) {
		if err := answer.Error(); err != nil {
			t.Fatal(err)
		}
	}
}
