// Fuzzapi compares a running sluice with its API documents, those of the edge and of the shop. Schemathesis makes right and
// wrong requests from the documents, in the roles of a shopper, a service and an admin. Fuzzapi starts a sluice dev of its own on loopback.
// exceptions.py and schemathesis.toml list the reports that are no errors, each with its reason.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sync/errgroup"

	"sluice/bench/devstack"
	"sluice/core/local"
)

//go:embed requirements.txt
var requirements string

// Paths from where it runs, the top of the project.
const (
	settingsDir  = "bench/fuzzapi"
	documentsDir = "docs/api"
)

// roles are who asks, and as which user.
var roles = map[string]string{"shopper": "42", "service": "1", "admin": "2"}

func main() {
	var f fuzz
	flag.IntVar(&f.examples, "examples", 20, "requests per operation and role, about")
	flag.IntVar(&f.seed, "seed", 1, "of the requests: the same seed makes the same ones")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := f.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzzapi:", err)
		os.Exit(1)
	}
}

type fuzz struct {
	examples, seed int

	stack     *devstack.Stack
	tool      string // Schemathesis, as installed
	settings  string
	documents string
}

func (f *fuzz) run(ctx context.Context) (err error) {
	var err1, err2 error
	f.settings, err1 = filepath.Abs(settingsDir)
	f.documents, err2 = filepath.Abs(documentsDir)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if f.tool, err = local.PythonTool(ctx, "schemathesis", requirements); err != nil {
		return err
	}
	if f.stack, err = devstack.Start(ctx, "fuzzapi"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.stack.Stop()) }()
	if err := f.prepare(ctx); err != nil {
		return err
	}
	for _, api := range []struct{ document, url string }{
		{"openapi.yaml", f.stack.EdgeURL()},
		{"catalog.yaml", f.stack.CatalogURL()},
	} {
		if err := f.fuzz(ctx, api.document, api.url); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes what the examples of the documents name, beside the sample's SKUs: a sale 7 that is open. The example of a
// user is made by the first service that asks.
func (f *fuzz) prepare(ctx context.Context) error {
	for _, args := range [][]string{
		{"sale", "create", "7", "--name=fuzz", "--item=1001:50000", "--item=1002:100", "--shopper-deducts", "--yes"},
		{"sale", "open", "7", "--yes"},
	} {
		if _, err := f.stack.Sluice(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// fuzz asks what a document has in all roles at once, and prints what was found.
func (f *fuzz) fuzz(ctx context.Context, document, url string) error {
	var group errgroup.Group
	for role, user := range roles {
		group.Go(func() error {
			token, err := f.stack.Sluice(ctx, "token", "--user="+user, "--role="+role, "--ttl=24h")
			if err != nil {
				return err
			}
			cmd := exec.CommandContext(ctx, "python3", "-c", "from schemathesis.cli import schemathesis; schemathesis()",
				"--config-file", filepath.Join(f.settings, "schemathesis.toml"), "run", filepath.Join(f.documents, document), "--url", url, "--header", "Authorization: Bearer "+token,
				"--checks", "all", "--warnings", "off", "--seed", strconv.Itoa(f.seed), "--max-examples", strconv.Itoa(f.examples))
			cmd.Dir = f.stack.Dir // where it leaves what it wants to remember
			cmd.Env = append(os.Environ(), "PYTHONPATH="+f.tool+":"+f.settings, "PYTHONDONTWRITEBYTECODE=1")
			out, err := cmd.CombinedOutput()
			fmt.Printf("=== %s as %s\n%s\n", document, role, out)
			if err != nil {
				return fmt.Errorf("%s as %s: %w", document, role, err)
			}
			return nil
		})
	}
	return group.Wait()
}
