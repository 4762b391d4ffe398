package web

import (
	"cmp"
	"encoding"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// complete reports the first member that has to be there and is not, also within other members. The generated types tell:
// they leave an optional member out of their own JSON if it is empty.
func complete(text jsontext.Value, of reflect.Type, at jsontext.Pointer) error {
	if text.Kind() == jsontext.KindNull { // whoever may be null is not asked
		return missing(at)
	}
	if reads(of) {
		return nil
	}
	switch of.Kind() { //nolint:exhaustive // the other kinds have nothing in them
	case reflect.Pointer:
		return complete(text, of.Elem(), at)
	case reflect.Struct:
		var members map[string]jsontext.Value
		if err := json.Unmarshal(text, &members); err != nil {
			return faultOf(err)
		}
		return completeMembers(members, of, at)
	case reflect.Map:
		var members map[string]jsontext.Value
		if err := json.Unmarshal(text, &members); err != nil {
			return faultOf(err)
		}
		for name, value := range members {
			if err := complete(value, of.Elem(), at.AppendToken(name)); err != nil {
				return err
			}
		}
	case reflect.Slice, reflect.Array:
		if of.Elem().Kind() == reflect.Uint8 {
			return nil
		}
		var items []jsontext.Value
		if err := json.Unmarshal(text, &items); err != nil {
			return faultOf(err)
		}
		for i, value := range items {
			if err := complete(value, of.Elem(), at.AppendToken(strconv.Itoa(i))); err != nil {
				return err
			}
		}
	}
	return nil
}

func completeMembers(members map[string]jsontext.Value, of reflect.Type, at jsontext.Pointer) error {
	for i := range of.NumField() {
		field := of.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" && field.Type.Kind() == reflect.Struct {
			if err := completeMembers(members, field.Type, at); err != nil {
				return err
			}
			continue
		}
		if !field.IsExported() || name == "-" {
			continue
		}
		name = cmp.Or(name, field.Name)
		value, there := members[name]
		null := !there || value.Kind() == jsontext.KindNull
		switch {
		case null && optional(options), there && null && field.Type.Kind() == reflect.Pointer: // the latter may be null
			continue
		case !there:
			return missing(at.AppendToken(name))
		}
		if err := complete(value, field.Type, at.AppendToken(name)); err != nil {
			return err
		}
	}
	return nil
}

func missing(at jsontext.Pointer) error { return Malformed(string(at), "the member is missing") }

func optional(options string) bool {
	return slices.ContainsFunc(strings.Split(options, ","), func(o string) bool { return o == "omitempty" || o == "omitzero" })
}

// reads reports whether a type reads its own JSON, and so knows what has to be there.
func reads(of reflect.Type) bool {
	for _, by := range []reflect.Type{
		reflect.TypeFor[json.UnmarshalerFrom](), reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	} {
		if reflect.PointerTo(of).Implements(by) {
			return true
		}
	}
	return of.Kind() == reflect.Interface
}
