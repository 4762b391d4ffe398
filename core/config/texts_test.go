package config_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/config"
)

type lamp struct {
	Watts  int    `name:"watts"`
	Colour string `name:"colour"`
}

func (lamp) Texts() config.Texts {
	return config.ParseTexts("watts\n    How bright\n    it is.\n    cost: higher: more power\n\ncolour\n    What it looks like.\n    cost: none\n")
}

type room struct {
	Left, Right lamp
	Name        string `name:"watts"` // of a group without texts
	hidden      lamp
}

// A setting has the texts of its own group, wherever the group is.
func TestTextsOf(t *testing.T) {
	t.Parallel()
	r := new(room)
	got := config.TextsOf(reflect.ValueOf(r).Elem())
	bright, look := config.Text{Help: "How bright it is.", Cost: "higher: more power"}, config.Text{Help: "What it looks like.", Cost: "none"}
	want := map[any]config.Text{&r.Left.Watts: bright, &r.Left.Colour: look, &r.Right.Watts: bright, &r.Right.Colour: look}
	if diff := cmp.Diff(len(want), len(got)); diff != "" {
		t.Error(diff)
	}
	for setting, text := range want {
		if got[setting] != text {
			t.Errorf("%T: %+v, want %+v", setting, got[setting], text)
		}
	}
	if _, ok := got[&r.hidden.Watts]; ok {
		t.Error("found what cannot be set")
	}
}

func TestParseTextsRefuses(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"", "watts", "watts\n    no cost", "watts\n    cost: no help", "a\n  b\n  cost: c\n\na\n  b\n  cost: c"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q: taken", file)
				}
			}()
			config.ParseTexts(file)
		}()
	}
}
