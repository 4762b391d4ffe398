// Package build identifies the running binary.
package build

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// version is set by the Makefile, through the linker.
var version string

// Info identifies the sources of a binary.
type Info struct {
	Version  string // "unknown" if the build did not set it
	Commit   string // empty if the sources were not in a repository
	Time     string // of the commit
	Modified bool   // the sources differed from the commit
	Go       string
}

// Read returns the Info of this binary.
func Read() Info {
	b := Info{Version: cmp.Or(version, "unknown"), Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = cmp.Or(version, info.Main.Version, "unknown")
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
	return b
}
