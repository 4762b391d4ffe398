package reconcile_test

import (
	"sync"
	"testing"

	"github.com/redis/rueidis"

	"sluice/core/reconcile"
)

// TestCellsThatArriveBehindThePageAreCompared writes the row of a SKU into MySQL after the page with its place was read, as
// persisters do beside a sweep. The sweep compares it all the same: it neither left it out, nor said of fewer that all agree.
func TestCellsThatArriveBehindThePageAreCompared(t *testing.T) {
	t.Parallel()
	b := purchases(t, 6)
	b.exec("CREATE TABLE kept AS SELECT * FROM product_inventories WHERE sku_id = 3")
	b.exec("DELETE FROM product_inventories WHERE sku_id = 3")
	s, w := b.watch("HMGET")
	var once sync.Once
	w.after = func(rueidis.RedisResult) {
		once.Do(func() { b.exec("INSERT INTO product_inventories SELECT * FROM kept") })
	}
	report, found := b.sweep(s, reconcile.Scope{})
	if sum := report.Summary; len(found) != 0 || sum.Cells != 6 || sum.InSync != 6 {
		t.Errorf("%q: %+v", found, sum)
	}
}
