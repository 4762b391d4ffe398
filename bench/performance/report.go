package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	benchreport "sluice/bench/report"
	"sluice/core/local"
)

// report is what one command measured, and where.
type report struct {
	Name    string `json:"name"`
	Command string `json:"command"`
	Quick   bool   `json:"quick,omitempty"` // at a size for trying

	Start  time.Time `json:"start"`
	TookS  float64   `json:"took_s"`
	LoadS  float64   `json:"load_before"`  // average of the last minute
	Others *float64  `json:"cores_others"` // that other work took meanwhile, on average; null where there is no /proc

	stamp

	Rows []row `json:"rows"`
}

// stamp says on what a command ran.
type stamp struct {
	Commit   string `json:"commit"`
	Modified bool   `json:"modified,omitempty"` // files that are in git, but for reports and the page
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Memory   int64  `json:"memory_bytes"`
	Platform string `json:"platform"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Redis    string `json:"redis"`
	MariaDB  string `json:"mariadb"`
}

// newStamp asks the machine. What it does not tell stays empty.
func newStamp(ctx context.Context) stamp {
	of := benchreport.NewStamp(time.Now(), "", 0)
	say := func(program string, args ...string) string {
		out, err := exec.CommandContext(ctx, program, args...).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	s := stamp{CPU: of.CPU, Cores: of.Cores, Memory: of.Memory, Platform: of.Platform, Kernel: of.Kernel, Go: of.Go}
	s.Commit = say("git", "rev-parse", "--short=9", "HEAD")
	s.Modified = say("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!"+reportsDir, ":!"+page) != ""
	if redis, err := local.FindRedis(ctx); err == nil {
		s.Redis = version(say(redis, "--version"))
	}
	if mariadb, err := local.FindMariaDB(); err == nil {
		s.MariaDB = version(say(mariadb, "--version"))
	}
	return s
}

// version finds the version in what a server says of itself: "Redis server v=7.0.15 sha=...", "mariadbd  Ver 10.11.6-MariaDB ...".
func version(says string) string {
	for word := range strings.FieldsSeq(strings.ReplaceAll(says, "v=", "")) {
		if v, _, _ := strings.Cut(word, "-"); v != "" && v[0] >= '0' && v[0] <= '9' {
			return v
		}
	}
	return ""
}

func fileOf(dir, name string) string { return filepath.Join(dir, name+".json") }

// write replaces the report of the same name.
func (r *report) write(dir string) error {
	text, err := json.Marshal(r, jsontext.WithIndent("\t"), json.Deterministic(true))
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return err
	}
	file := fileOf(dir, r.Name)
	if err := os.WriteFile(file+".new", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// readReports reads those of the measurements that have one, by name.
func readReports(dir string) (map[string]*report, error) {
	all := map[string]*report{}
	for _, m := range measurements() {
		text, err := os.ReadFile(fileOf(dir, m.name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		r := new(report)
		if err == nil {
			err = json.UnmarshalRead(bytes.NewReader(text), r, json.RejectUnknownMembers(true))
		}
		if err == nil && (r.Name != m.name || r.Command != m.of(r.Quick)) {
			err = fmt.Errorf("it is of the command %q, and that of %s is %q: measure it again", r.Command, m.name, m.of(r.Quick))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fileOf(dir, m.name), err)
		}
		all[m.name] = r
	}
	return all, nil
}
