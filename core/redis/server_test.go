package redis_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/core/local/servicetest"
	"sluice/core/redis"
)

func TestMain(m *testing.M) { os.Exit(servicetest.Main(m).Run()) }

func TestClient(t *testing.T) {
	t.Parallel()
	const password = "hunter2"
	server := servicetest.Redis(t)
	admin, err := (&redis.Config{Addrs: []string{server.Addr}}).Client()
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if err := admin.Do(t.Context(), admin.B().AclSetuser().Username("shop").Rule("on", ">"+password, "+@all", "~*").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*redis.Config{
		"from the environment": {Addrs: []string{server.Addr}, User: "shop", Password: password},
		"from a file":          {Addrs: []string{server.Addr}, User: "shop", PasswordFile: file},
	} {
		client, err := r.Client()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		who, err := client.Do(t.Context(), client.B().AclWhoami().Build()).ToString()
		if err != nil || who != "shop" {
			t.Errorf("%s: connected as %q, %v", name, who, err)
		}
		client.Close()
	}
	_, err = (&redis.Config{Addrs: []string{server.Addr}, User: "shop", Password: password + "x"}).Client()
	if err == nil || strings.Contains(err.Error(), password) {
		t.Errorf("a wrong password: %v", err)
	}
}
