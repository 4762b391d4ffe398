package walkthrough

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/bench/devstack"
	"sluice/bench/stack"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/telemetry"
)

// TestPage runs the page on sluice dev.
func TestPage(t *testing.T) {
	t.Parallel()
	servicetest.MariaDB(t) // so that the test is skipped where servers are missing
	dev, err := devstack.Start(t.Context(), "walkthrough")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dev.Stop(); err != nil {
			t.Error(err)
		}
	})
	env := append(local.Unset(), "SLUICE_DEV_FILE="+dev.DevFile(), "PATH="+dev.Dir+":"+os.Getenv("PATH"))
	walk(t, steps(t, dev.CatalogURL(), dev.MessagesURL()), env, func(int) {})
}

// TestPageUnderKills runs the page on a shop whose servers are killed between all steps, and start again while the next step asks.
func TestPageUnderKills(t *testing.T) {
	t.Parallel()
	binary := stack.Build(t, "sluice")
	t.Run("one after another", func(t *testing.T) {
		newShop(t, binary).walk(func(step int, servers []server) []server { return servers[step%len(servers):][:1] })
	})
	t.Run("all at once", func(t *testing.T) {
		newShop(t, binary).walk(func(_ int, servers []server) []server { return servers })
	})
}

// server is what can be killed.
type server interface {
	Kill() error
	Restart(ctx context.Context) error
}

// shop is a shop in a process of its own, with servers of its own.
type shop struct {
	t             *testing.T
	url, messages string
	dsn           string
	env           []string // of commands
	servers       []server
}

func newShop(t *testing.T, binary string) *shop {
	t.Helper()
	dir := t.TempDir()
	s := &shop{t: t}
	mysql, dsn := servicetest.PrivateDatabase(t)
	s.dsn = dsn
	kafka := servicetest.PrivateKafka(t)
	post := startMail(t, dir)
	keys, signing, secret, vault := filepath.Join(dir, "keys.json"), filepath.Join(dir, "signing.json"), filepath.Join(dir, "account.secret"), filepath.Join(dir, "vault.json")
	key, err := auth.GenerateKey("HS256")
	must(t, err)
	must(t, auth.WriteKeys(keys, key))
	s.env = append(local.Unset(), "SLUICE_MYSQL_DSN="+dsn, "SLUICE_KAFKA_BROKERS="+strings.Join(kafka.Addrs, ","), "SLUICE_TOKEN_KEY_FILE="+keys,
		"SLUICE_SIGNING_KEYS_FILE="+signing, "SLUICE_ACCOUNT_SECRET_FILE="+secret, "SLUICE_VAULT_KEY_FILE="+vault, "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	for _, args := range [][]string{{"catalog", "keys", "create"}, {"catalog", "vault", "keygen", "--out", vault}, {"catalog", "migrate"}} {
		s.run(binary, args...)
	}
	catalog, err := local.StartProgram(t.Context(), dir, local.ProgramOptions{
		Path: binary, Args: []string{"catalog"}, Addrs: 2, Grace: time.Minute,
		Env: func(addrs []string) []string {
			return append(s.env, "SLUICE_CATALOG_LISTEN="+addrs[0], "SLUICE_OPS_LISTEN="+addrs[1],
				"SLUICE_MESSAGES_SMTP="+post.Addrs[0], "SLUICE_MESSAGES_SMTP_TLS=none", "SLUICE_MESSAGES_FROM=shop@shop.example")
		},
		Ready: func(ctx context.Context, addrs []string) error { return telemetry.AskReady(ctx, addrs[1]) },
	})
	must(t, err)
	t.Cleanup(func() {
		if err := catalog.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(catalog.Log())
		}
	})
	s.url, s.messages = "http://"+catalog.Addrs[0], "http://"+post.Addrs[1]
	s.servers = []server{catalog, mysql, kafka, post}
	return s
}

func (s *shop) run(binary string, args ...string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), binary, args...)
	cmd.Env = s.env
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

// walk runs the page. Before each step it kills some servers, and starts them again while the step asks. In the end Kafka has
// all events.
func (s *shop) walk(killed func(step int, servers []server) []server) {
	s.t.Helper()
	var starting sync.WaitGroup
	defer starting.Wait()
	walk(s.t, steps(s.t, s.url, s.messages), s.env, func(step int) {
		starting.Wait()
		for _, server := range killed(step, s.servers) {
			must(s.t, server.Kill())
			starting.Go(func() {
				if err := server.Restart(s.t.Context()); err != nil {
					s.t.Errorf("start again: %v", err)
				}
			})
		}
	})
	starting.Wait()
	s.published()
}

// published waits until no event waits for Kafka.
func (s *shop) published() {
	s.t.Helper()
	mysql, err := db.Config{DSN: config.Secret(s.dsn), ConnsMax: 1, Timeout: time.Minute}.OpenUnchecked()
	must(s.t, err)
	defer func() { must(s.t, mysql.Close()) }()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	must(s.t, lifecycle.Poll(ctx, 100*time.Millisecond, func() error {
		var waiting int
		err := mysql.QueryRowContext(ctx, "SELECT (SELECT COUNT(*) FROM account_outbox) + (SELECT COUNT(*) FROM seller_outbox) + (SELECT COUNT(*) FROM product_outbox) + (SELECT COUNT(*) FROM offer_outbox) + (SELECT COUNT(*) FROM price_outbox)").Scan(&waiting)
		if err == nil && waiting > 0 {
			err = fmt.Errorf("%d events wait for Kafka", waiting)
		}
		return err
	}, func(error) bool { return false }))
}

// startMail starts the mail server: its first address takes letters, its second shows them.
func startMail(t *testing.T, dir string) *local.Program {
	t.Helper()
	letters := filepath.Join(dir, "letters")
	must(t, os.Mkdir(letters, 0o700))
	post, err := local.StartProgram(t.Context(), dir, local.ProgramOptions{
		Path: os.Args[0], Addrs: 2, Grace: time.Second,
		Env: func(addrs []string) []string {
			return append(local.Unset(), mailDirEnv+"="+letters, mailSMTPEnv+"="+addrs[0], mailPageEnv+"="+addrs[1])
		},
		Ready: func(ctx context.Context, addrs []string) error {
			for _, addr := range addrs {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
				if err != nil {
					return fmt.Errorf("mail server: %w", err)
				}
				_ = conn.Close()
			}
			return nil
		},
	})
	must(t, err)
	t.Cleanup(func() { _ = post.Stop() })
	return post
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
