package password_test

import (
	"testing"

	"sluice/catalog/account/internal/password"
)

func BenchmarkVerify(b *testing.B) {
	h := password.NewHasher(1)
	p, err := password.Read("correct horse battery staple")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := h.Verify(b.Context(), p, ""); err != nil {
			b.Fatal(err)
		}
	}
}
