package ids_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/core/ids"
)

var (
	moments = rapid.Map(rapid.Int64Range(1, 1<<41-1), func(ms int64) time.Time { return ids.Epoch.Add(time.Duration(ms) * time.Millisecond) })
	genes   = rapid.Map(rapid.Uint16Range(0, ids.Genes-1), func(g uint16) ids.Gene { return ids.Gene(g) })
)

func TestTimedIDsTellTimeAndGene(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at, gene := moments.Draw(t, "at"), genes.Draw(t, "gene")
		drawn, err := ids.Draw[ids.Payment](at.Add(time.Microsecond), gene)
		if err != nil || drawn < 1 || !ids.At(drawn).Equal(at) || ids.GeneIn(drawn) != gene {
			t.Fatalf("the id of %v and %d is %d, %v: it tells %v and %d", at, gene, drawn, err, ids.At(drawn), ids.GeneIn(drawn))
		}
		later, err := ids.Draw[ids.Payment](at.Add(time.Millisecond), 0)
		if err == nil && later <= drawn {
			t.Fatalf("%d is later than %d", later, drawn)
		}
		back, err := ids.Read[ids.Payment](drawn.String())
		if err != nil || back != drawn {
			t.Fatalf("%s is read as %d, %v", drawn, back, err)
		}
	})
}

func TestTimesBeyondIDs(t *testing.T) {
	t.Parallel()
	f := func(at time.Time, gene ids.Gene, ok bool) {
		t.Helper()
		if id, err := ids.Draw[ids.Order](at, gene); (err == nil) != ok {
			t.Errorf("the id of %v and %d is %d, %v", at, gene, id, err)
		}
	}
	f(ids.Epoch.Add(time.Millisecond), 0, true)
	f(ids.Latest, ids.Genes-1, true)
	f(ids.Epoch, 0, false) // the id would be 0, if the dice say so
	f(ids.Epoch.Add(-time.Millisecond), 0, false)
	f(ids.Latest.Add(time.Millisecond), 0, false)
	f(time.Time{}, 0, false)
	f(time.UnixMilli(math.MaxInt64), 0, false)
	f(ids.Latest, ids.Genes, false)
	if got, want := ids.Latest.Format(time.RFC3339), "2093-09-06T15:47:35Z"; got != want {
		t.Errorf("the latest time is %s, want %s", got, want)
	}
}

// The same reservation gives the same ids, another try and another kind give others, and another reservation does.
func TestIDsOfReservations(t *testing.T) {
	t.Parallel()
	at, gene := ids.Epoch.AddDate(2, 10, 27), ids.GeneOf(42)
	seen := map[int64]bool{}
	const tries = 64
	for try := range uint8(tries) {
		order, err := ids.OfReservation[ids.Order](at, gene, [16]byte{1, 2, 3}, try)
		again, _ := ids.OfReservation[ids.Order](at, gene, [16]byte{1, 2, 3}, try)
		if err != nil || order != again || !ids.At(order).Equal(at) || ids.GeneIn(order) != gene {
			t.Errorf("try %d is %d, %v, then %d", try, order, err, again)
		}
		seen[int64(order)] = true
	}
	if len(seen) < tries-4 { // of 4,096 tails
		t.Errorf("%d tries have %d ids", tries, len(seen))
	}
	order, _ := ids.OfReservation[ids.Order](at, gene, [16]byte{1, 2, 3}, 0)
	checkout, _ := ids.OfReservation[ids.Checkout](at, gene, [16]byte{1, 2, 3}, 0)
	other, _ := ids.OfReservation[ids.Order](at, gene, [16]byte{1, 2, 4}, 0)
	if int64(order) == int64(checkout) || order == other {
		t.Errorf("order %d, checkout %d, order of another reservation %d", order, checkout, other)
	}
	if order != 384855913269929178 {
		t.Errorf("the id of a reservation has changed: it is %d", order)
	}
}

// Ids contain the gene, and rows are where the hash says: neither may change.
func TestGenesNeverChange(t *testing.T) {
	t.Parallel()
	for user, want := range map[int64]ids.Gene{1: 820, 2: 820, 42: 666, math.MaxInt64: 792} {
		if got := ids.GeneOf(user); got != want {
			t.Errorf("the gene of user %d is %d, want %d", user, got, want)
		}
	}
	for value, want := range map[string]uint16{"": 910, "abc": 745, "ann@example.com": 455} {
		if got := ids.Hash([]byte(value)); got != want {
			t.Errorf("the hash of %q is %d, want %d", value, got, want)
		}
	}
}

func TestGenesAreEven(t *testing.T) {
	t.Parallel()
	var users [ids.Genes]int
	for user := range int64(ids.Genes * 100) {
		users[ids.GeneOf(user+1)]++
	}
	for gene, count := range users {
		if count < 50 || count > 150 {
			t.Errorf("gene %d has %d of %d users", gene, count, ids.Genes*100)
		}
	}
}

func TestSKUs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		product := ids.Product(rapid.Int64Range(1, int64(ids.ProductMax)).Draw(t, "product"))
		n := rapid.IntRange(0, ids.SKUsMax-1).Draw(t, "n")
		sku, ok := ids.SKU(product, n)
		if !ok || sku != int64(product)*4096+int64(n) {
			t.Fatalf("SKU %d of %d is %d, %v", n, product, sku, ok)
		}
		if p, m, ok := ids.ProductOf(sku); !ok || p != product || m != n {
			t.Fatalf("SKU %d is %d of %d, %v", sku, m, p, ok)
		}
		batch := rapid.Int64Range(1, 1<<62-1).Draw(t, "batch")
		coupon, ok := ids.BatchSKU(batch)
		back, known := ids.BatchOf(coupon)
		if !ok || !known || back != batch || coupon>>62 != 1 {
			t.Fatalf("batch %d is the SKU %d, %v, of batch %d, %v", batch, coupon, ok, back, known)
		}
		if _, _, ok := ids.ProductOf(coupon); ok {
			t.Fatalf("the coupons %d have a product", coupon)
		}
		if _, ok := ids.BatchOf(sku); ok {
			t.Fatalf("the SKU %d has a batch", sku)
		}
	})
	for _, p := range []ids.Product{0, -1, ids.ProductMax + 1} {
		if sku, ok := ids.SKU(p, 0); ok {
			t.Errorf("the product %d has the SKU %d", int64(p), sku)
		}
	}
	for _, n := range []int{-1, ids.SKUsMax} {
		if sku, ok := ids.SKU(1, n); ok {
			t.Errorf("SKU %d of a product is %d", n, sku)
		}
	}
	for _, batch := range []int64{0, -1, 1 << 62, math.MaxInt64} {
		if sku, ok := ids.BatchSKU(batch); ok {
			t.Errorf("the batch %d has the SKU %d", batch, sku)
		}
	}
	for _, sku := range []int64{0, -1, 4095, 1 << 62, math.MinInt64} {
		_, _, ofProduct := ids.ProductOf(sku)
		if _, ofBatch := ids.BatchOf(sku); ofProduct || ofBatch {
			t.Errorf("the SKU %d is of a product (%v) or a batch (%v)", sku, ofProduct, ofBatch)
		}
	}
}
