package cli

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"sluice/cli/command"
)

// Each setting has its value and where that is from; a secret has only the latter.
func TestConfigPrint(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir(".sluice", 0o700); err != nil {
		t.Fatal(err)
	}
	const stack = `{"redis_addr":"r:1,r:2","mysql_dsn":"root:hunter2@tcp(m:1)/x","kafka_brokers":"k:1","token_key_file":"keys.json"}`
	if err := os.WriteFile(".sluice/dev.json", []byte(stack), 0o600); err != nil {
		t.Fatal(err)
	}
	show := func(args ...string) map[string]printed {
		t.Helper()
		var o output
		args = append([]string{"config", "print", "-o", "json"}, args...)
		if code := Run(args, o.console()); code != command.ExitDone {
			t.Fatalf("%v: exit code %d: %s", args, code, o.err.String())
		}
		if strings.Contains(o.out.String()+o.err.String(), "hunter2") {
			t.Errorf("%v shows the password:\n%s", args, o.out.String())
		}
		var list []printed
		if err := json.Unmarshal(o.out.Bytes(), &list); err != nil {
			t.Fatal(err)
		}
		settings := map[string]printed{}
		for _, s := range list {
			for _, c := range s.Commands {
				settings[c+" "+s.Env] = s
			}
		}
		return settings
	}
	want := func(settings map[string]printed, setting, value, origin string) {
		t.Helper()
		s, ok := settings[setting]
		shown := "null"
		if s.Value != nil {
			shown = *s.Value
		}
		if !ok || shown != value || s.Origin != origin {
			t.Errorf("%s is %s from %s, want %s from %s", setting, shown, s.Origin, value, origin)
		}
	}
	t.Setenv("SLUICE_VECTOR_MAX", "7")
	edge := show("edge", "--partitions", "8", "--mysql-dsn-file", "f")
	want(edge, "edge SLUICE_PARTITIONS", "8", "flag")
	want(edge, "edge SLUICE_VECTOR_MAX", "7", "environment")
	want(edge, "edge SLUICE_MYSQL_DSN", "******", "file")
	want(edge, "edge SLUICE_MYSQL_DSN_FILE", "f", "flag")
	want(edge, "edge SLUICE_REDIS_ADDR", "null", "not set") // services do not look for a sluice dev
	want(edge, "edge SLUICE_OPS_LISTEN", "127.0.0.1:9180", "default")
	want(edge, "edge SLUICE_DRAIN_TIMEOUT", "30s", "default")

	all := show()
	want(all, "stock load SLUICE_REDIS_ADDR", "r:1,r:2", "dev.json")
	want(all, "stock load SLUICE_MYSQL_DSN", "******", "dev.json")
	want(all, "stock load SLUICE_KAFKA_BROKERS", "k:1", "dev.json")
	want(all, "token issue SLUICE_TOKEN_KEY_FILE", "keys.json", "dev.json")
	want(all, "persister SLUICE_OPS_LISTEN", "127.0.0.1:9181", "default")

	t.Setenv("SLUICE_MYSQL_DSN", "root:hunter2@tcp(m:1)/x")
	all = show()
	want(all, "stock show SLUICE_MYSQL_DSN", "******", "environment")
	want(all, "stock show SLUICE_REDIS_ADDR", "null", "not set") // addresses are not mixed

	var o output
	if Run([]string{"config", "print"}, o.console()); !strings.Contains(o.out.String(), "\n  of persister") || strings.Contains(o.out.String(), "hunter2") {
		t.Errorf("as a table:\n%s", o.out.String())
	}
	t.Setenv("SLUICE_MYSQL_DSN", "")
	if err := os.Unsetenv("SLUICE_MYSQL_DSN"); err != nil {
		t.Fatal(err)
	}
	o = output{} // most commands have values of dev.json now, the services have none
	if Run([]string{"config", "print"}, o.console()); !strings.Contains(o.out.String(), "  of stock load/list/show/shut/adjust/freeze/") {
		t.Errorf("as a table:\n%s", o.out.String())
	}
	for line := range strings.Lines(o.out.String()) {
		if len(line) > 121 {
			t.Errorf("a line of %d columns: %s", len(line)-1, line)
		}
	}
	for args, said := range map[string]string{"wat": "want a command", "edge --wat": "--wat", "edge --partitions=x": "want a whole number"} {
		if code := Run(append([]string{"config", "print"}, strings.Fields(args)...), o.console()); code != command.ExitUsage || !strings.Contains(o.err.String(), said) {
			t.Errorf("%s: exit code %d: %s", args, code, o.err.String())
		}
	}
}
