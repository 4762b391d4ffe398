package cli

import (
	"reflect"
	"testing"

	"github.com/alecthomas/kong"

	"sluice/catalog"
	"sluice/cli/command"
	"sluice/cli/dev"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/kafka"
	"sluice/core/place"
	"sluice/core/redis"
	"sluice/edge"
	"sluice/persister"
)

// TestTextsAreOfSettings checks that every setting has an entry in a settings.txt, and every entry a setting.
func TestTextsAreOfSettings(t *testing.T) {
	t.Parallel()
	app := model()
	texts := config.TextsOf(app.Target)
	used := map[config.Text]bool{}
	err := kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		f, ok := node.(*kong.Flag)
		if !ok || len(f.Envs) == 0 {
			return next(nil)
		}
		text, ok := texts[f.Target.Addr().Interface()]
		if !ok || f.Help != text.Help || f.Tag.Has("help") || f.Tag.Has("cost") {
			t.Errorf("--%s: %q, of its settings.txt %q, want the same and no tag", f.Name, f.Help, text.Help)
		}
		used[text] = true
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range []interface{ Texts() config.Texts }{
		config.Log{}, db.Config{}, kafka.Config{}, redis.Config{}, edge.Config{}, persister.Config{}, catalog.Config{}, place.Config{}, dev.Command{}, command.Token{},
	} {
		for flag, text := range group.Texts() {
			if !used[text] {
				t.Errorf("settings.txt of %T: nothing has the text of --%s", group, flag)
			}
		}
	}
}

// tagMax keeps tags on lines that one can read; what is longer has its text in settings.txt or in Help.
const tagMax = 260

func TestTagsFitOnALine(t *testing.T) {
	t.Parallel()
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(group reflect.Type) {
		if seen[group] {
			return
		}
		seen[group] = true
		for i := range group.NumField() {
			field := group.Field(i)
			if n := len(field.Tag); n > tagMax {
				t.Errorf("%v.%s: a tag of %d bytes, want at most %d", group, field.Name, n, tagMax)
			}
			if field.Type.Kind() == reflect.Struct {
				walk(field.Type)
			}
		}
	}
	walk(reflect.TypeFor[root]())
	if len(seen) < 20 {
		t.Errorf("found %d structs only", len(seen))
	}
}
