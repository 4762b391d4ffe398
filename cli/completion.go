package cli

import (
	"embed"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"sluice/cli/command"
)

// shells has the scripts that make a shell ask completeWords.
//
//go:embed completion
var shells embed.FS

// completion prints the script that completes command lines in a shell.
type completion struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is called by kong.
func (completion) Help() string {
	return `Prints a script for the shell to read. It completes commands, flags and the values that a flag has to choose from.

Examples:
  source <(sluice completion bash)     in ~/.bashrc
  source <(sluice completion zsh)      in ~/.zshrc, behind compinit
  sluice completion fish | source      in ~/.config/fish/config.fish`
}

// Run is called by kong.
func (s completion) Run(c *command.Console) error {
	script, err := shells.ReadFile("completion/sluice." + s.Shell)
	if err != nil {
		return err
	}
	c.Write(script)
	return nil
}

// completeWords prints the words that may stand in the place of the last word, one per line. It prints nothing if
// that may be the name of a file.
type completeWords struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Help is called by kong.
func (completeWords) Help() string {
	return `Example:
  sluice complete-words -- stock sh`
}

// Run is called by kong.
func (w *completeWords) Run(app *kong.Kong, c *command.Console) error {
	words := w.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, word := range candidates(app.Model.Node, words) {
		c.Printf("%s\n", word)
	}
	return nil
}

// candidates returns the words that may stand in the place of the last one.
func candidates(node *kong.Node, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	flags := slices.Clone(node.Flags)
	var waiting *kong.Flag // for its value
	for _, word := range words[:len(words)-1] {
		switch {
		case word == "=": // bash treats it as a word of its own
		case waiting != nil:
			waiting = nil
		case strings.HasPrefix(word, "-"):
			if f := flagOf(flags, word); f != nil && !f.IsBool() {
				waiting = f
			}
		default:
			if child := childOf(node, word); child != nil {
				node = child
				flags = append(flags, node.Flags...)
			}
		}
	}
	if last == "=" {
		last = ""
	}
	name, value, assigned := strings.Cut(last, "=")
	switch {
	case waiting != nil:
		return startingWith(last, enumOf(waiting), "")
	case assigned && strings.HasPrefix(name, "-"):
		if f := flagOf(flags, name); f != nil {
			return startingWith(value, enumOf(f), name+"=")
		}
		return nil
	case strings.HasPrefix(last, "-"):
		var names []string
		for _, f := range flags {
			if !f.Hidden {
				names = append(names, "--"+f.Name)
			}
		}
		return startingWith(last, names, "")
	}
	var names []string
	for _, child := range node.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	for _, arg := range node.Positional {
		names = append(names, arg.EnumSlice()...)
	}
	return startingWith(last, names, "")
}

func flagOf(flags []*kong.Flag, word string) *kong.Flag {
	for _, f := range flags {
		if word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short) {
			return f
		}
	}
	return nil
}

func childOf(node *kong.Node, word string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == word {
			return child
		}
	}
	return nil
}

func enumOf(f *kong.Flag) []string {
	if f.IsBool() {
		return []string{"true", "false"}
	}
	return f.EnumSlice()
}

func startingWith(start string, words []string, lead string) []string {
	var found []string
	for _, word := range words {
		if word != "" && strings.HasPrefix(word, start) && !slices.Contains(found, lead+word) {
			found = append(found, lead+word)
		}
	}
	return found
}
