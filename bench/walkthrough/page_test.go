package walkthrough

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// The addresses of sluice dev that the page names.
const shopURL, messagesURL = "http://127.0.0.1:8093", "http://127.0.0.1:8094/messages"

var block = regexp.MustCompile("(?s)\n```sh\n(.*?)```\n")

// steps are the blocks of the page, in which only addresses are others.
func steps(t *testing.T, shop, messages string) (all []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/walkthrough.md")
	if err != nil {
		t.Fatal(err)
	}
	replaced := 0
	for _, found := range block.FindAllStringSubmatch(string(page), -1) {
		replaced += strings.Count(found[1], shopURL) + strings.Count(found[1], messagesURL)
		all = append(all, strings.NewReplacer(messagesURL, messages, shopURL, shop).Replace(found[1]))
	}
	if fences := strings.Count(string(page), "\n```"); fences != 2*len(all) || len(all) < 2 || replaced != 2 {
		t.Fatalf("the page has %d steps in %d fences, and addresses at %d places, want each fenced text to be a step, and two places", len(all), fences, replaced)
	}
	return all
}

// stepMax is how long a step may take, in which servers start that were killed.
const stepMax = 5 * time.Minute

const done = "--- the step is done"

// walk pastes one step after another into a shell, as a reader does. The first one that fails ends it.
func walk(t *testing.T, all, env []string, between func(step int)) {
	t.Helper()
	shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail")
	shell.Env = env
	var said output
	shell.Stderr = &said
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i, step := range all {
		between(i)
		late := time.AfterFunc(stepMax, func() { _ = shell.Process.Kill() })
		// No command of a step may read the steps that follow.
		if _, err := fmt.Fprintf(in, "{\n%s} </dev/null\necho '%s'\n", step, done); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		for lines.Scan() && lines.Text() != done {
			_, _ = said.Write(append(lines.Bytes(), '\n'))
		}
		if !late.Stop() || lines.Text() != done {
			_ = shell.Process.Kill()
			_ = shell.Wait()
			t.Fatalf("step %d of %d failed or took more than %v:\n%s\n%s", i+1, len(all), stepMax, step, said.String())
		}
	}
	_ = in.Close()
	if err := shell.Wait(); err != nil {
		t.Errorf("the shell: %v\n%s", err, said.String())
	}
}

// output is what the steps print.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
