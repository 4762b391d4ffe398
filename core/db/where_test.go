package db_test

import (
	"strings"
	"testing"

	"sluice/core/config"
	"sluice/core/db"
)

func TestWhere(t *testing.T) {
	t.Parallel()
	f := func(want string, dsns ...config.Secret) {
		t.Helper()
		for _, dsn := range dsns {
			if got, err := db.Where(dsn); got != want || err != nil {
				t.Errorf("%s is at %s (%v), want %s", dsn.Reveal(), got, err, want)
			}
		}
	}
	f("localhost:3306/a", "u:p@tcp(localhost)/a", "v@tcp(127.0.0.1:3306)/a", "u@tcp([::1]:3306)/a?timeout=1s", "u@tcp(LocalHost.)/a", "u@/a", "u@tcp(127.0.0.2)/a")
	f("db:3307/a", "u@tcp(db:3307)/a", "u:x@tcp(DB:3307)/a?parseTime=true")
	f("[2001:db8::1]:3306/a", "u@tcp([2001:db8::1]:3306)/a", "u@tcp([2001:DB8:0::1]:3306)/a")
	f("/run/my.sock/a", "u@unix(/run/my.sock)/a")
	f("db:3306/A", "u@tcp(db)/A") // MySQL has names of databases in two cases on most systems
	for _, wrong := range []config.Secret{"", "hunter2", "u:hunter2@tcp(db)/", "u:hunter2@udp(db)/a"} {
		if got, err := db.Where(wrong); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a DSN that names no database is at %q, %v", got, err)
		}
	}
}
