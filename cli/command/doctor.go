package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/alecthomas/kong"

	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/telemetry"
)

// The time for each part of an examination.
const (
	doctorTimeout  = 5 * time.Second
	historyTimeout = 5 * time.Minute // it reads the position of every SKU
	shopTimeout    = time.Minute     // it asks each database for each right of its account
)

// Doctor examines a deployment.
type Doctor struct {
	Writer `embed:""`
	Output `embed:""`

	Key  TokenKey `embed:""`
	Shop Shop     `embed:""`

	devDir string // directory of the development stack, if the command looks at one
}

// Help is called by kong.
func (Doctor) Help() string {
	return `Checks Redis, MySQL, Kafka and the token keys, compares the stores as sluice reconcile does, and changes nothing. Each line
is ok, warn or fail, and says what to do. The exit code is 1 if anything fails. Give it a file of the shop too, and it checks the shop's
databases, what the account may do there, and the keys.

Examples:
  sluice doctor
  sluice doctor -o json
  sluice doctor --shards-file shards.json --signing-keys-file signing.json --account-secret-file account.secret --vault-key-file vault.json`
}

// BeforeApply is called by kong. It runs before that of Writer, which then finds its addresses given.
func (d *Doctor) BeforeApply(k *kong.Context, c *Console) error {
	_, err := d.Dev.fill(k, d.MySQL.DSN != "", func(stack *DevStack) {
		d.use(c, stack)
		d.Key.File = stack.TokenKeyFile
		d.devDir = filepath.Dir(stack.path)
		d.Shop.Signing, d.Shop.Secret = filepath.Join(d.devDir, DevSigningKeys), filepath.Join(d.devDir, DevAccountSecret)
		d.Shop.Vault.File = filepath.Join(d.devDir, DevVaultKeys)
	})
	return err
}

// The results of a check.
const (
	checkOK   = "ok"
	checkWarn = "warn" // it works, but perhaps not for long, or not for everything
	checkFail = "fail"
)

type finding struct {
	Status string `json:"status"`
	About  string `json:"about"`
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"`
}

// examination collects findings.
type examination struct {
	Status string    `json:"status"` // the worst one
	Checks []finding `json:"checks"`
}

func (e *examination) ok(about, format string, values ...any) {
	e.Checks = append(e.Checks, finding{checkOK, about, fmt.Sprintf(format, values...), ""})
}

func (e *examination) warn(about, found, do string) {
	e.Checks = append(e.Checks, finding{checkWarn, about, found, do})
	if e.Status == checkOK {
		e.Status = checkWarn
	}
}

func (e *examination) fail(about, found, do string) {
	e.Checks = append(e.Checks, finding{checkFail, about, found, do})
	e.Status = checkFail
}

// faults notes what is wrong with a server.
func (e *examination) faults(about string, faults []telemetry.Fault) {
	for _, f := range faults {
		e.fail(about, f.Found, f.Do)
	}
}

// Run is called by kong.
func (d *Doctor) Run(ctx context.Context, c *Console) error {
	e := &examination{Status: checkOK, Checks: []finding{}}
	for _, part := range []struct {
		examine func(context.Context, *examination)
		within  time.Duration
	}{
		{d.redis, doctorTimeout},
		{d.mysql, doctorTimeout},
		{d.kafka, doctorTimeout},
		{d.history, historyTimeout},
		{d.shut, historyTimeout},
		{d.drift, historyTimeout},
		{d.secrets, doctorTimeout},
		{d.tokens, doctorTimeout},
		{d.shop, shopTimeout},
	} {
		bounded, cancel := context.WithTimeout(ctx, part.within)
		part.examine(bounded, e)
		cancel()
		if ctx.Err() != nil { // what was under way tells nothing
			return fmt.Errorf("check the deployment: %w", ctx.Err())
		}
	}
	if d.json() {
		if err := c.JSON(e); err != nil {
			return err
		}
	} else {
		e.print(c)
	}
	if e.Status == checkFail {
		return errors.New("the deployment is not in order")
	}
	return nil
}

func (e *examination) print(c *Console) {
	colors := map[string]string{checkOK: green, checkWarn: yellow, checkFail: red}
	for _, f := range e.Checks {
		c.Printf("%s %s: %s\n", c.paint(colors[f.Status], fmt.Sprintf("%-4s", f.Status)), f.About, f.Found)
		if f.Do != "" {
			c.Printf("     -> %s\n", f.Do)
		}
	}
}

// secrets checks whether others can read the files with secrets.
func (d *Doctor) secrets(_ context.Context, e *examination) {
	for _, file := range config.Exposed(reflect.ValueOf(d)) {
		e.fail("secrets", file.String(), file.Do()+": it may be known")
	}
}

// tokens checks the file of token keys.
func (d *Doctor) tokens(_ context.Context, e *examination) {
	const about = "token keys"
	if d.Key.File == "" {
		e.warn(about, "no file given", "set --token-key-file, as the edges have it")
		return
	}
	info, err := os.Stat(d.Key.File)
	if err != nil {
		e.fail(about, err.Error(), "make the file readable for whoever runs sluice, and for nobody else")
		return
	}
	if _, err := auth.ReadKeys(d.Key.File); err != nil {
		e.fail(about, err.Error(), "make a new file with sluice token keygen, or correct this one as docs/configuration.md describes it")
		return
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o007 != 0: // secrets reports it with the other files
	case mode&0o070 != 0:
		e.warn(about, fmt.Sprintf("%s is open to its group (%v)", d.Key.File, mode), "chmod 600 "+d.Key.File)
	default:
		e.ok(about, "%s is readable by its owner only", d.Key.File)
	}
}
