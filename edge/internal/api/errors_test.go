package api

import (
	"fmt"
	"net"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/problem"
	"sluice/core/stock"
)

// TestUnreachableMySQLIsNamed asks a MySQL that is silent, and one that is not there: the answer names MySQL, and not
// the Redis of the stock.
func TestUnreachableMySQLIsNamed(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, addr := range []string{listener.Addr().String(), "127.0.0.1:1"} {
		mysql, err := db.Config{DSN: config.Secret("root@tcp(" + addr + ")/x"), ConnsMax: 1, Timeout: 200 * time.Millisecond}.OpenUnchecked()
		if err != nil {
			t.Fatal(err)
		}
		err = fmt.Errorf("read list: %w: %w", stock.ErrNotApplied, mysql.PingContext(t.Context()))
		if p, bug := problemOf(problemOfRead(err)); bug || p.Kind != problem.Unavailable || p.Detail != "MySQL cannot be reached." {
			t.Errorf("%v is told as %+v (bug: %v)", err, p, bug)
		}
		_ = mysql.Close()
	}
}
