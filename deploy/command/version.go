package command

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"sluice/core/event"
	"sluice/persister"
)

// Version shows what was built, and from what.
type Version struct {
	Output `embed:""`

	Built string `kong:"-"` // version that the build was given, if any
}

// Help is called by kong.
func (Version) Help() string {
	return `Example:
  sluice version -o json`
}

type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Schema   int64  `json:"schema"` // of MySQL
	Events   int    `json:"events"` // format version
}

// Run is called by kong.
func (v *Version) Run(c *Console) error {
	b := build{
		Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Schema: persister.SchemaVersion(), Events: event.Version,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version = cmp.Or(v.Built, info.Main.Version)
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.time":
				b.Time = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if v.json() {
		return c.JSON(b)
	}
	commit := cmp.Or(b.Commit, "unknown")
	if b.Modified {
		commit += ", modified"
	}
	c.Printf("sluice %s (commit %s)\n%s on %s; schema %d, events %d\n", b.Version, commit, b.Go, b.Platform, b.Schema, b.Events)
	return nil
}
