package stockfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

var errObject = errors.New("not one JSON object of strings, numbers, true, false and null")

// parseJSON reads an object member by member, because the library's own decoding would take the last of
// two members with one name, and names in any case.
func parseJSON(text []byte, line *Line) error {
	if !utf8.Valid(text) {
		return errors.New("not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return errObject
	}
	seen := map[string]bool{}
	for decoder.More() {
		if err := parseMember(decoder, seen, line); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return errObject
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return line.complete()
}

func parseMember(decoder *json.Decoder, seen map[string]bool, line *Line) error {
	key, err := decoder.Token()
	name, ok := key.(string)
	if err != nil || !ok {
		return errObject
	}
	field, known := fields[name]
	if !known {
		return fmt.Errorf("member %q: want some of %s", cut(name), fieldNames)
	}
	if seen[name] {
		return fmt.Errorf("member %q is there twice", name)
	}
	seen[name] = true
	value, err := decoder.Token()
	if err != nil {
		return errObject
	}
	switch v := value.(type) {
	case nil:
		return nil // as if it were not there
	case string:
		if !field.quoted {
			return fmt.Errorf("%s %q: want no quotes", name, cut(v))
		}
		if v == "" {
			return fmt.Errorf("%s is empty", name)
		}
		return line.set(name, v)
	case json.Number:
		if field.quoted {
			return fmt.Errorf("%s %s: want a string", name, cut(v.String()))
		}
		return line.set(name, v.String())
	case bool:
		if field.quoted {
			return fmt.Errorf("%s %v: want a string", name, v)
		}
		return line.set(name, fmt.Sprint(v))
	}
	return errObject
}
