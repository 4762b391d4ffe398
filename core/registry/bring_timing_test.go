package registry_test

import (
	"testing"
	"time"

	"sluice/core/local/servicetest"
	"sluice/core/registry"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/stock/redisstock/redistest"
	"sluice/persister/persistertest"
)

// BenchmarkBring has a Redis that lost the users of a sale in 64 partitions be vetted, and brings the users back. It tells after how
// many seconds a SKU of no sale sells, and after how many the last user of the sale may take.
//
//	go test -run '^$' -bench Bring -benchtime 1x ./core/registry -users 200000
func BenchmarkBring(b *testing.B) {
	const partitions = 64
	_, dsn := servicetest.PrivateDatabase(b)
	books := persistertest.Migrated(b, dsn)
	client, store := storeOn(b, servicetest.Redis(b).Addr, partitions)
	redistest.Open(b, client, partitions, store)
	plan := sale.Plan{ID: 7, Name: "test", Hold: time.Hour, RegisteredOnly: true}
	taken := map[int]bool{}
	for sku := int64(1); len(taken) < partitions; sku++ {
		if p := (stock.Cell{SKU: sku, Pool: 7}).Partition(partitions); !taken[p] {
			taken[p] = true
			put(b, store, stock.Cell{SKU: sku})
			plan.Items = append(plan.Items, sale.Allotment{SKU: sku, Quantity: 1})
		}
	}
	if _, err := sale.NewDesk(store, books, time.Hour).Create(b.Context(), plan); err != nil {
		b.Fatal(err)
	}
	for user := int64(1); user <= *loadUsers; user += 1_000_000 { // the number of a sequence table is a part of its name
		_, err := books.ExecContext(b.Context(), "INSERT INTO registrations (sale_id, user_id) SELECT 7, ? + seq - 1 FROM seq_1_to_1000000 WHERE ? + seq - 1 <= ?", user, user, *loadUsers)
		if err != nil {
			b.Fatal(err)
		}
	}
	if _, err := books.ExecContext(b.Context(), "UPDATE sales SET registered = ? WHERE sale_id = 7", *loadUsers); err != nil {
		b.Fatal(err)
	}
	for range b.N {
		if err := client.Do(b.Context(), client.B().ScriptFlush().Build()).Error(); err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		redistest.Open(b, client, partitions, store)
		open := time.Since(begun)
		done, err := registry.New(books, store).Bring(b.Context())
		if err != nil || done.Users != partitions**loadUsers {
			b.Fatalf("%+v, error %v", done, err)
		}
		b.ReportMetric(open.Seconds(), "s-open")
		b.ReportMetric(time.Since(begun).Seconds(), "s-whole")
	}
}
