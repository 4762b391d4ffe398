package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Text explains a setting to people.
type Text struct {
	Help string // what it does
	Cost string // what it costs to raise or set it
}

// Texts has the texts of a package's settings by flag.
type Texts map[string]Text

// ParseTexts reads a package's settings.txt. An entry is the name of a flag and, indented below it, its help and then
// its cost, which begins with "cost:". It panics over anything else: the file is part of the program.
func ParseTexts(file string) Texts {
	texts := Texts{}
	for entry := range strings.SplitSeq(strings.TrimSpace(file), "\n\n") {
		flag, rest, _ := strings.Cut(entry, "\n")
		help, cost, _ := strings.Cut(strings.Join(strings.Fields(rest), " "), " cost: ")
		if _, twice := texts[flag]; twice || help == "" || cost == "" || strings.ContainsAny(flag, " \t") {
			panic(fmt.Sprintf("settings.txt: %q: want a flag, a help and a cost, once", flag))
		}
		texts[flag] = Text{help, cost}
	}
	return texts
}

// TextsOf finds the texts of the settings in a struct that can be set, and in those nested in it. The key is a pointer
// to the setting. A group has its texts from its method Texts.
func TextsOf(target reflect.Value) map[any]Text {
	found := map[any]Text{}
	textsOf(target, found)
	return found
}

func textsOf(group reflect.Value, found map[any]Text) {
	var texts Texts
	if group.CanInterface() {
		if g, ok := group.Addr().Interface().(interface{ Texts() Texts }); ok {
			texts = g.Texts()
		}
	}
	for i := range group.NumField() {
		field, value := group.Type().Field(i), group.Field(i)
		switch {
		case value.Kind() == reflect.Struct && (field.IsExported() || field.Anonymous):
			textsOf(value, found)
		case value.CanSet():
			if text, ok := texts[field.Tag.Get("name")]; ok {
				found[value.Addr().Interface()] = text
			}
		}
	}
}
