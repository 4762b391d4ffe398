package redisstock

import (
	"strconv"
	"strings"
)

// VersionMin is the first version of Redis whose scripts have flags. A Valkey names the Redis that it stands in for.
const VersionMin = 7

// About is a server's answer to INFO.
type About string

// Field is the value of a line, or empty.
func (a About) Field(name string) string {
	for line := range strings.Lines(string(a)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Name returns the server's name for itself, and its version.
func (a About) Name() string {
	if version := a.Field("valkey_version"); version != "" {
		return "Valkey " + version
	}
	return "Redis " + a.version()
}

func (a About) version() string { return a.Field("redis_version") }

// Recent reports whether the server runs the scripts.
func (a About) Recent() bool {
	major, _, _ := strings.Cut(a.version(), ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= VersionMin
}

// Role returns master for a primary.
func (a About) Role() string { return a.Field("role") }

// roleMaster is how Redis calls the role of a primary.
const roleMaster = "master"

// Primary reports whether the server takes writes.
func (a About) Primary() bool { return a.Role() == roleMaster }
