package db_test

import (
	"strings"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
)

// TestReadOnlyHasSeveralWords asks whether a server is read-only where the setting is a number, and where it is a word.
func TestReadOnlyHasSeveralWords(t *testing.T) {
	t.Parallel()
	mysql, err := db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 1, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	defer mysql.Close()
	for value, want := range map[string]bool{
		"0": false, "1": true, "'OFF'": false, "'ON'": true, "'NO_LOCK'": true, "'NO_LOCK_NO_ADMIN'": true,
	} {
		var got bool
		err := mysql.QueryRowContext(t.Context(), "SELECT "+strings.ReplaceAll(db.ReadOnly, "@@global.read_only", value)).Scan(&got)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", value, got, err)
		}
	}
}
