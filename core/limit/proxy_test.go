package limit

import (
	"testing"
)

func FuzzParseMember(f *testing.F) {
	for _, seed := range []string{"192.0.2.1:80", "[2001:db8::1%eth0]:443", "::ffff:1.2.3.4", "[]", "%", "[::1]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		address, ok := parseMember(text)
		if !ok {
			return
		}
		if !address.IsValid() || address.Zone() != "" || address.Is4In6() {
			t.Errorf("%q is %v", text, address)
		}
		if again, ok := parseMember(address.String()); !ok || again != address {
			t.Errorf("%q is %v, which is %v", text, address, again)
		}
	})
}
