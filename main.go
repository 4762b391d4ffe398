// Sluice is a Redis-first flash-sale and inventory core. This is its one binary; each role and each tool
// is a command of it.
package main

import (
	"os"

	"sluice/cli"
	"sluice/cli/command"
)

func main() {
	console := command.NewConsole(os.Stdin, os.Stdout, os.Stderr, os.LookupEnv)
	os.Exit(cli.Run(os.Args[1:], console))
}
