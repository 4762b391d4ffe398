// Package config owns the settings that several services share: names, defaults and bounds. Packages db, redis and
// kafka own those of each store, and build its clients. A service embeds a group into its own Config, and kong reads
// it from flags and environment. The environment variable of --some-flag is SLUICE_SOME_FLAG. A flag whose name says
// too little by itself gets the name of its command in front: --dir of dev is SLUICE_DEV_DIR.
//
// Secrets have no flags, because every process of a machine can read the arguments of another. They come from the
// environment (LoadSecrets) or from files. This package prints no secret.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Faults collects all faults of a configuration, so that one run names all of them.
type Faults struct{ faults []error }

// Add notes that the value of a setting is wrong.
func (f *Faults) Add(setting string, value any, want string) {
	f.faults = append(f.faults, fmt.Errorf("%s: %v: want %s", setting, value, want))
}

// Missing notes that a setting has no value and needs one.
func (f *Faults) Missing(setting, want string) {
	f.faults = append(f.faults, fmt.Errorf("%s: missing: want %s", setting, want))
}

// Include adds the faults of a nested configuration, as its Validate returned them.
func (f *Faults) Include(err error) {
	if err != nil {
		f.faults = append(f.faults, err)
	}
}

// Err returns all faults joined, or nil if there are none.
func (f *Faults) Err() error { return errors.Join(f.faults...) }

// Between notes a fault unless low <= value <= high.
func Between[T cmp.Ordered](f *Faults, setting string, value, low, high T) {
	if value < low || value > high {
		f.Add(setting, value, fmt.Sprintf("%v to %v", low, high))
	}
}

// OneOf notes a fault unless value is one of the words.
func OneOf(f *Faults, setting, value string, words ...string) {
	for _, word := range words {
		if value == word {
			return
		}
	}
	f.Add(setting, fmt.Sprintf("%q", value), strings.Join(words, ", "))
}

// HostPort notes a fault unless addr has a host and a port. An empty host stands for all.
func HostPort(f *Faults, setting, addr string) {
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		f.Add(setting, fmt.Sprintf("%q", addr), "host:port")
	}
}

// Name notes a fault unless value can be the name of a Kafka topic, of a consumer group and of a file.
func Name(f *Faults, setting, value string) {
	ok := len(value) >= 1 && len(value) <= 200
	for _, c := range value {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	if !ok {
		f.Add(setting, fmt.Sprintf("%q", value), "1 to 200 letters, digits, dots, dashes or underscores")
	}
}
