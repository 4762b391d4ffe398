package cli

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/cli/command"
)

// A run that makes no sense is refused before anything is sent: nobody listens at the address.
func TestBenchRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tokens, curve := file("tokens", "a.b.c\nd.e.f\n"), file("curve", "seconds,per_second\n5,100\n6,100\n")
	ending := file("ending", "a."+base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(time.Hour).Unix()))+".c\n")
	fine := []string{"bench", "--addr=http://127.0.0.1:1", "--dev-file=" + filepath.Join(dir, "none"), "--sku=1", "--users=2", "--tokens=" + tokens}
	for args, want := range map[string]string{
		"--addr=http://shop.example":                            "if it is yours to load, repeat with --i-may-load shop.example",
		"--addr=http://shop.example --i-may-load=other.example": "shop.example is not other.example, which you may load",
		"--addr=shop.example":                                   "want a URL such as",
		"--rate=0":                                              "rate: 0",
		"--rate=NaN":                                            "rate",
		"--rate=2000000":                                        "per second at 0s: want 0 to 1000000",
		"--for=0s":                                              "for",
		"--for=25h":                                             "length",
		"--curve=" + curve:                                      "a curve begins at 0 seconds",
		"--curve=" + filepath.Join(dir, "none"):                 "no such file",
		"--curve=" + dir:                                        "curve",
		"--keys=cold":                                           `keys: "cold"`,
		"--skus=2":                                              "--sku names the only one",
		"--users=3":                                             "has 2: make more by sluice token --users",
		"--tokens=" + filepath.Join(dir, "none"):                "no such file",
		"--tokens=" + curve + " --users=1 --curve=" + file("flat", "seconds,per_second\n0,1\n1,1\n") + " --tokens=" + file("spaces", "a b\n"): "token 1 is none",
		"--users=1 --for=2h --tokens=" + ending: "token 1 ends at ",
		"--users=1 --for=1h --tokens=" + ending: "make tokens that last longer by sluice token --users --ttl",
		"--tokens=":                             "tokens: missing",
		"--confirm=0.5":                         "only services confirm",
		"--bots=1.5":                            "bots: 1.5",
		"--impatient=-0.1":                      "impatient: -0.1",
		"--retries=21":                          "retries",
		"--connections=0":                       "connections",
		"--timeout=0s":                          "timeout",
		"--hold=1500ms":                         "want whole seconds",
		"--want=p99<50":                         "is no duration",
		"--want=won>0.5":                        `no outcome "won"`,
		"--report=/dev/null/report.json":        "report",
		"--report=" + dir + "/none/r.json":      "report",
		"--report=-":                            "want a file, or /dev/stdout",
		"--html=" + dir:                         "is a directory",
	} {
		var o output
		code := Run(append(append([]string{}, fine...), strings.Fields(args)...), o.console())
		if code != command.ExitUsage || !strings.Contains(o.err.String(), want) {
			t.Errorf("%s: exit code %d: %s, want %q", args, code, o.err.String(), want)
		}
	}
	var o output
	if code := Run([]string{"bench", "--dev-file=" + filepath.Join(dir, "none")}, o.console()); code != command.ExitUsage {
		t.Errorf("without an edge: exit code %d: %s", code, o.err.String())
	}
	if code := Run(append(fine, "--for=1s"), o.console()); code != command.ExitFailed || !strings.Contains(o.err.String(), "the edge does not show SKU 1") {
		t.Errorf("an edge that is away: exit code %d: %s", code, o.err.String())
	}
}

// A run takes all that it lacks from the development stack.
func TestBenchFindsTheDevelopmentStack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys, stack := filepath.Join(dir, "keys.json"), filepath.Join(dir, "stack.json")
	var made, o output
	if code := Run([]string{"token", "keygen", "--out", keys}, made.console()); code != command.ExitDone {
		t.Fatal(made.err.String())
	}
	places := command.DevStack{
		EdgeURL: "http://127.0.0.1:1", RedisAddr: "127.0.0.1:1", MySQLDSN: "x@tcp(127.0.0.1:1)/x", KafkaBrokers: "127.0.0.1:1", TokenKeyFile: keys,
	}
	if err := places.Write(stack); err != nil {
		t.Fatal(err)
	}
	code := Run([]string{"bench", "--dev-file", stack}, o.console())
	if said := o.err.String(); code != command.ExitFailed || !strings.Contains(said, "using the development stack of "+stack) || !strings.Contains(said, "connection refused") {
		t.Errorf("exit code %d: %s", code, said)
	}
}
