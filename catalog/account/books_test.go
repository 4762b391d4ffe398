package account_test

import (
	"testing"

	"sluice/catalog/account"
	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/vault"
)

// TestBooksAreThoseOfTheShop: the tables that all packages have are the same in each.
func TestBooksAreThoseOfTheShop(t *testing.T) {
	t.Parallel()
	for _, statements := range []string{outbox.Tables("account"), task.Table("account"), schedule.Table("account"), replay.Table("account"), vault.Tables("account")} {
		if err := account.Schema().Makes(statements); err != nil {
			t.Error(err)
		}
	}
}
