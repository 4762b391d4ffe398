package place_test

import (
	"fmt"
	"testing"

	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// replicated starts a MariaDB and two replicas of it.
func replicated(t *testing.T) (primary, first, second *local.MariaDB) {
	t.Helper()
	start := func(id int) *local.MariaDB {
		return servicetest.PrivateMariaDB(t, fmt.Sprintf("server-id = %d", id), "log-bin = log", "binlog-format = ROW", "gtid-domain-id = 1")
	}
	primary = start(1)
	for id := 2; id < 4; id++ {
		replica := start(id)
		exec(t, replica.DSN("mysql"),
			fmt.Sprintf("CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = %d, MASTER_USER = 'root', MASTER_PASSWORD = '', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1",
				portOf(t, primary.Addr)),
			"START SLAVE")
		first, second = second, replica
	}
	if err := primary.CreateDatabase(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	return primary, first, second
}
