// Package lua holds the scripts, the only code that changes stock. A script's header is its contract;
// only package redisstock calls them.
package lua

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed *.lua lib/*.lua upkeep/*.lua
var files embed.FS

// Script is one script as Redis loads it.
type Script struct {
	Name   string
	Source string
	SHA1   string
}

const include = "-- #include "

// Upkeep reads a script that keeps house: it changes no stock, and runs also on a full server, which it helps to free
// itself. It is no sign that a server is open, and is sent whole.
func Upkeep(name string) (Script, error) { return Load("upkeep/" + name) }

// Load reads the script of a name, with the files that it includes put literally in the place of
// their include lines, once and without nesting.
func Load(name string) (Script, error) {
	source, err := files.ReadFile(name + ".lua")
	if err != nil {
		return Script{}, fmt.Errorf("read script %q: %w", name, err)
	}
	var whole strings.Builder
	for line := range strings.Lines(string(source)) {
		path, found := strings.CutPrefix(line, include)
		if !found {
			whole.WriteString(line)
			continue
		}
		part, err := files.ReadFile(strings.TrimSpace(path))
		if err != nil {
			return Script{}, fmt.Errorf("include in script %q: %w", name, err)
		}
		whole.Write(part)
	}
	sum := sha1.Sum([]byte(whole.String())) //nolint:gosec // Redis names scripts by their SHA-1
	return Script{Name: name, Source: whole.String(), SHA1: hex.EncodeToString(sum[:])}, nil
}

// All reads every script.
func All() ([]Script, error) {
	paths, err := fs.Glob(files, "*.lua")
	if err != nil {
		return nil, fmt.Errorf("list scripts: %w", err)
	}
	all := make([]Script, len(paths))
	for i, path := range paths {
		if all[i], err = Load(strings.TrimSuffix(path, ".lua")); err != nil {
			return nil, err
		}
	}
	return all, nil
}
