package catalog

import (
	"strings"
	"testing"

	"sluice/catalog/account"
	"sluice/catalog/notify"
)

// Who has an address that accounts take can have messages.
func TestEveryAddressIsReached(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"mia@example.org", "Mia+tag@EXAMPLE.org", "a@b.c", "!#$%&'*+-/=?^_`{|}~@example.org", "1.2.3@4.example", "-@example.org", "m.i.a@xn--bcher-kva.example",
		strings.Repeat("x", 100) + "@example.org", "mia@" + strings.Repeat("a", 63) + ".example.org", strings.Repeat("x", 242) + "@example.org",
	} {
		email, err := account.ReadEmail(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if !notify.Reaches(notify.Email, string(email)) {
			t.Errorf("%s: no message reaches it", email)
		}
	}
}
