package cli

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"sluice/cli/command"
)

// TestLostResultsFail writes the results of commands where there is no room: a script that was redirected to a file may
// not go on with half of it.
func TestLostResultsFail(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("only Linux has /dev/full")
	}
	defer full.Close()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"--help", "stock load --help", "--version", "version", "version -o json", "completion bash", "completion zsh", "completion fish",
		"token keygen", "config print", "config print -o json",
	} {
		cmd := exec.CommandContext(t.Context(), program, strings.Fields(line)...)
		cmd.Env, cmd.Stdout = append(os.Environ(), programEnv+"=1"), full
		var said strings.Builder
		cmd.Stderr = &said
		var ended *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &ended) || ended.ExitCode() != command.ExitFailed || !strings.Contains(said.String(), "no space left on device") {
			t.Errorf("%s ends with %v, and says %q", line, err, said.String())
		}
	}
}
