package cli

import (
	"testing"

	"sluice/cli/command"
)

// TestDeadTasks looks at tasks of the shop that failed too often, and decides about them.
func TestDeadTasks(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("catalog", "migrate").want(command.ExitDone, "Kafka has topic sluice.users.v1")
	d.run("catalog", "tasks", "list").want(command.ExitDone, "no dead task")
	mysql, err := d.mysql.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer mysql.Close()
	_, err = mysql.ExecContext(t.Context(), "INSERT INTO account_tasks (id, kind, name, data, state, attempts, due_at, made_at, last_error) VALUES "+
		"(1, 'greet', 'ann', 'null', 'dead', 12, NOW(3), NOW(3), 'it rains'), (2, 'greet', 'bob', 'null', 'dead', 12, NOW(3), NOW(3), 'it snows'), "+
		"(3, 'greet', 'cid', 'null', 'waiting', 1, NOW(3), NOW(3), '')")
	if err != nil {
		t.Fatal(err)
	}
	states := func(want string) {
		t.Helper()
		var got string
		if err := mysql.QueryRowContext(t.Context(), "SELECT GROUP_CONCAT(name, ' ', state, ' ', attempts ORDER BY id) FROM account_tasks").Scan(&got); err != nil || got != want {
			t.Errorf("the tasks are %q, %v, want %q", got, err, want)
		}
	}
	d.run("catalog", "tasks", "list").want(command.ExitDone, "account/shop/1", "greet", "ann", "it rains", "account/shop/2").lacks("cid")
	d.run("catalog", "tasks", "list", "--limit", "1").want(command.ExitDone, "--cursor account/shop/1").lacks("bob")
	d.run("catalog", "tasks", "list", "--cursor", "account/shop/1", "-o", "json").want(command.ExitDone, `"id": "account/shop/2"`).lacks("ann")
	d.run("catalog", "tasks", "list", "--cursor", "account/shop/2").want(command.ExitDone, "no dead task")

	d.run("catalog", "tasks", "repeat", "account/shop/1", "--reason", "dry again", "--dry-run").want(command.ExitDone, "would be tried again")
	d.run("catalog", "tasks", "drop", "account/shop/2", "--reason", "done by hand", "--dry-run").want(command.ExitDone, "would be deleted")
	d.run("catalog", "tasks", "drop", "account/shop/2", "--reason", "x").want(command.ExitUsage, "nobody is there to confirm")
	states("ann dead 12,bob dead 12,cid waiting 1")
	d.run("catalog", "tasks", "repeat", "account/shop/1", "--reason", "dry again", "--by", "eve", "--yes").want(command.ExitDone, "it is tried again")
	d.answer("account/shop/2", "catalog", "tasks", "drop", "account/shop/2", "--reason", "done by hand", "--by", "ida").want(command.ExitDone, "it is deleted")
	states("ann waiting 0,cid waiting 1")
	d.run("audit", "search", "--actor", "operator:eve", "-o", "json").want(command.ExitDone, `"task.repeat"`, `"task:account/shop/1"`, "dry again", "it rains").lacks("task.drop")
	d.run("audit", "search", "--object", "task:account/shop/2").want(command.ExitDone, "task.drop", "operator:ida", "done by hand")
	d.run("audit", "verify").want(command.ExitDone)

	for _, id := range []string{"account/shop/1", "account/shop/2", "account/shop/3", "account/other/1", "nobody/shop/1"} {
		d.run("catalog", "tasks", "repeat", id, "--reason", "x", "--yes").want(command.ExitNotFound, "there is no dead task")
	}
	d.run("catalog", "tasks", "drop", "account/shop/1", "--yes").want(command.ExitUsage, "--reason")
	d.run("catalog", "tasks", "drop", "account/shop/1", "--reason", "x", "--by", "é", "--yes").want(command.ExitUsage, "visible ASCII")
	for _, id := range []string{"1", "account/1", "account/shop/x", "account/shop/01", "account/shop/-1", "account/shop/1/2"} {
		d.run("catalog", "tasks", "drop", id, "--reason", "x", "--yes").want(command.ExitUsage, "want the id of a task")
		d.run("catalog", "tasks", "list", "--cursor", id).want(command.ExitUsage, "want the id of a task")
	}
}
