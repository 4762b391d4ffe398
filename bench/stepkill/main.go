// Stepkill is sluice for a test: a process of it ends in the middle of a basket, as kill -9 would end it. STEPKILL
// names the step before which it ends, and a count: away:3 is the third step away of the process.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"sluice/cli"
	"sluice/cli/command"
)

func main() {
	console := command.NewConsole(os.Stdin, os.Stdout, os.Stderr, os.LookupEnv)
	if at, asked := os.LookupEnv("STEPKILL"); asked {
		stage, text, _ := strings.Cut(at, ":")
		count, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			fmt.Fprintf(os.Stderr, "STEPKILL is %q, want a step and a number, such as away:3\n", at)
			os.Exit(2)
		}
		var seen atomic.Int64
		console.Between = func(now string) {
			if now == stage && seen.Add(1) == count {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // until it has come
			}
		}
	}
	os.Exit(cli.Run(os.Args[1:], console))
}
