package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"sluice/cli/command"
	"sluice/core/config"
)

// configPrint shows the settings with which a command would run.
type configPrint struct {
	command.Output `embed:""`

	Command []string `arg:"" optional:"" passthrough:"partial" help:"A command with its flags. Defaults to all commands but dev."`
}

// Help is called by kong.
func (configPrint) Help() string {
	return `Shows each setting with its value, and where the value is from: a flag, the environment, a file, dev.json or the
default. Secrets are shown as ******. Nothing is checked or reached.

Examples:
  sluice config print
  sluice config print edge --ack log
  sluice config print -o json persister`
}

// The sources of a value.
const (
	fromFlag    = "flag"
	fromEnv     = "environment"
	fromFile    = "file"
	fromDev     = "dev.json"
	fromDefault = "default"
	fromNowhere = "not set"
)

// printed is a setting with the value that some commands have.
type printed struct {
	Setting  string   `json:"setting"` // the flag; of a secret, the environment variable
	Env      string   `json:"env"`
	Value    *string  `json:"value"`  // null: not set
	Origin   string   `json:"origin"` // one of those above
	Commands []string `json:"commands"`
}

// Run is called by kong.
func (p *configPrint) Run(c *command.Console) error {
	settings, err := p.settings(c)
	if err != nil {
		return err
	}
	if p.Format == "json" {
		return c.JSON(settings)
	}
	times := map[string]int{}
	for _, s := range settings {
		times[s.Setting]++
	}
	rows := [][]any{{"SETTING", "FROM", "VALUE"}} // the longest row comes last, so that it widens only its own line
	for _, s := range settings {
		value := ""
		if s.Value != nil {
			value = *s.Value
		}
		rows = append(rows, []any{s.Setting, s.Origin, value})
		if times[s.Setting] > 1 {
			for _, line := range wrapped(grouped(s.Commands), namesWidth) {
				rows = append(rows, []any{"  " + line, "", ""})
			}
		}
	}
	c.Table(rows...)
	return nil
}

// namesWidth is the width of a line of commands. With most values, a row then fits into 120 columns.
const namesWidth = 52

// grouped names commands. Those of one group stand together: stock load/list, edge.
func grouped(commands []string) []string {
	var names []string
	last := ""
	for _, path := range commands {
		group, leaf, nested := strings.Cut(path, " ")
		if nested && group == last {
			names[len(names)-1] += "/" + leaf
			continue
		}
		last = group
		names = append(names, path)
	}
	return names
}

// wrapped lists names in lines that are no wider than width, unless a single name is.
func wrapped(names []string, width int) (lines []string) {
	line := "of " + names[0]
	for _, name := range names[1:] {
		line += ","
		if len(line)+len(" "+name) < width {
			line += " " + name
			continue
		}
		lines, line = append(lines, line), name
	}
	return append(lines, line)
}

func (p *configPrint) settings(c *command.Console) ([]printed, error) {
	parser, err := newParser(new(root), c, func(int) {})
	if err != nil {
		return nil, err
	}
	found := []printed{}
	for _, leaf := range parser.Model.Leaves(false) {
		path := strings.Fields(leaf.Path())
		named := len(p.Command) >= len(path) && slices.Equal(p.Command[:len(path)], path)
		if len(p.Command) == 0 && leaf.Name != "dev" || named {
			args := path
			if named {
				args = p.Command
			}
			if found, err = addSettings(found, c, args); err != nil {
				return nil, err
			}
		}
	}
	if len(found) == 0 {
		return nil, command.Usage(fmt.Errorf("%q: want a command that has settings, such as edge", strings.Join(p.Command, " ")))
	}
	slices.SortStableFunc(found, func(a, b printed) int { return cmp.Compare(a.Setting, b.Setting) })
	return found, nil
}

// addSettings adds the settings of the command at the beginning of args to those of others.
func addSettings(found []printed, c *command.Console, args []string) ([]printed, error) {
	cli := new(root)
	config.LoadSecrets(cli, os.LookupEnv)
	parser, err := newParser(cli, c, func(int) {})
	if err != nil {
		return nil, err
	}
	k, err := kong.Trace(parser, args)
	if err == nil {
		err = cmp.Or(k.Error, k.Reset()) // Reset reads the environment and the defaults
	}
	if err != nil || k.Selected() == nil {
		return nil, command.Usage(cmp.Or(err, errors.New("want a whole command, such as stock show")))
	}
	leaf := k.Selected()
	values := map[string]printed{}
	add := func(s printed) { values[s.Env] = s }
	given := map[*kong.Flag]bool{}
	for _, step := range k.Path {
		given[step.Flag] = true
	}
	for _, f := range k.Flags() {
		if len(f.Envs) > 0 {
			add(flagSetting(k, f, given[f]))
		}
	}
	secrets(leaf.Target, func(env string, secret config.Secret) { add(secretSetting(env, secret, values)) })
	if err := fromDevStack(k, values); err != nil {
		return nil, err
	}
	for _, s := range values {
		s.Commands = []string{leaf.Path()}
		same := func(o printed) bool {
			return o.Env == s.Env && o.Origin == s.Origin && (o.Value == nil) == (s.Value == nil) && (s.Value == nil || *o.Value == *s.Value)
		}
		if i := slices.IndexFunc(found, same); i >= 0 {
			found[i].Commands = append(found[i].Commands, leaf.Path())
		} else {
			found = append(found, s)
		}
	}
	return found, nil
}

func flagSetting(k *kong.Context, f *kong.Flag, given bool) printed {
	s := printed{Setting: f.Name, Env: f.Envs[0], Origin: fromNowhere}
	value := reflect.ValueOf(k.FlagValue(f))
	switch _, inEnv := os.LookupEnv(f.Envs[0]); {
	case given:
		s.Origin = fromFlag
	case inEnv:
		s.Origin = fromEnv
	case f.HasDefault || f.IsBool():
		s.Origin = fromDefault
	default:
		return s
	}
	text := fmt.Sprint(value)
	if list, ok := value.Interface().([]string); ok {
		text = strings.Join(list, ",")
	}
	s.Value = &text
	return s
}

// secretSetting stands for a secret, and never has its value.
func secretSetting(env string, secret config.Secret, flags map[string]printed) printed {
	s := printed{Setting: env, Env: env, Origin: fromNowhere}
	masked := "******"
	switch file := flags[env+"_FILE"]; {
	case secret != "":
		s.Origin, s.Value = fromEnv, &masked
	case file.Value != nil && *file.Value != "":
		s.Origin, s.Value = fromFile, &masked
	}
	return s
}

// secrets finds the secrets that config.LoadSecrets has filled in.
func secrets(target reflect.Value, yield func(env string, secret config.Secret)) {
	for i := range target.NumField() {
		field := target.Type().Field(i)
		switch {
		case !field.IsExported() && !field.Anonymous:
		case field.Type == reflect.TypeFor[config.Secret]():
			yield(field.Tag.Get("env"), config.Secret(target.Field(i).String()))
		case field.Type.Kind() == reflect.Struct:
			secrets(target.Field(i), yield)
		}
	}
}

// fromDevStack fills in the values that a command takes from a running sluice dev.
func fromDevStack(k *kong.Context, values map[string]printed) error {
	if _, finds := values["SLUICE_DEV_FILE"]; !finds {
		return nil
	}
	stack, err := command.FindDevStack(k, values["SLUICE_MYSQL_DSN"].Origin == fromEnv)
	if err != nil || stack == nil {
		return err
	}
	for env, value := range stack.Settings() {
		if s, has := values[env]; has && value != "" {
			if s.Setting == env {
				value = "******"
			}
			s.Value, s.Origin = &value, fromDev
			values[env] = s
		}
	}
	return nil
}
