package command

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/alecthomas/kong"

	"sluice/catalog"
	"sluice/core/build"
	"sluice/core/event"
)

// Version shows the version of the program and its sources.
type Version struct {
	Output `embed:""`
}

// Help is called by kong.
func (Version) Help() string {
	return `Example:
  sluice version -o json`
}

type versions struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Events   int    `json:"events"` // format version

	Schemas map[string]int64 `json:"schemas"` // versions of MySQL's tables, by owner
}

// VersionFlag is --version. It comes before everything else on the command line.
type VersionFlag bool

// BeforeReset is called by kong before it looks at anything else.
func (VersionFlag) BeforeReset(app *kong.Kong, c *Console) error {
	if err := errors.Join((&Version{}).Run(c), c.Written()); err != nil {
		return err
	}
	app.Exit(ExitDone)
	return nil
}

// Run is called by kong.
func (v *Version) Run(c *Console) error {
	built := build.Read()
	b := versions{
		Version: built.Version, Commit: built.Commit, Time: built.Time, Modified: built.Modified, Go: built.Go,
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Events: event.Version, Schemas: map[string]int64{},
	}
	schemas := ""
	for _, owner := range slices.Concat(Schemas(), catalog.Schemas().Plain()) {
		b.Schemas[owner.Name] = owner.Version()
		schemas += fmt.Sprintf("schema %d of %s, ", owner.Version(), owner.Name)
	}
	if v.json() {
		return c.JSON(b)
	}
	commit := cmp.Or(b.Commit, "unknown")
	if b.Modified {
		commit += ", modified"
	}
	c.Printf("sluice %s (commit %s)\n%s on %s; %sevents %d\n", b.Version, commit, b.Go, b.Platform, schemas, b.Events)
	return nil
}
