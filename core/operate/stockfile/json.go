package stockfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

var errObject = errors.New("not one JSON object of strings, numbers, true, false and null")

// parseJSON reads an object member by member, so that a fault is told with the member's name.
func parseJSON(text []byte, line *Line) error {
	if !utf8.Valid(text) {
		return errors.New("not UTF-8")
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(text))
	if open, err := decoder.ReadToken(); err != nil || open.Kind() != jsontext.KindBeginObject {
		return errObject
	}
	for decoder.PeekKind() == jsontext.KindString {
		if err := parseMember(decoder, line); err != nil {
			return err
		}
	}
	if _, err := decoder.ReadToken(); err != nil { // the closing brace
		return errObject
	}
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return line.complete()
}

func parseMember(decoder *jsontext.Decoder, line *Line) error {
	key, err := decoder.ReadToken()
	var fault *jsontext.SyntacticError
	if errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &fault) {
		return fmt.Errorf("member %q is there twice", cut(fault.JSONPointer.LastToken()))
	}
	if err != nil {
		return errObject
	}
	name := key.String() // now: the token is overwritten by the next
	field, known := fields[name]
	if !known {
		return fmt.Errorf("member %q: want some of %s", cut(name), fieldNames)
	}
	value, err := decoder.ReadToken()
	if err != nil {
		return errObject
	}
	switch text := value.String(); value.Kind() {
	case jsontext.KindNull:
		return nil // as if it were not there
	case jsontext.KindString:
		if !field.quoted {
			return fmt.Errorf("%s %q: want no quotes", name, cut(text))
		}
		if text == "" {
			return fmt.Errorf("%s is empty", name)
		}
		return line.set(name, text)
	case jsontext.KindNumber, jsontext.KindTrue, jsontext.KindFalse:
		if field.quoted {
			return fmt.Errorf("%s %s: want a string", name, cut(text))
		}
		return line.set(name, text)
	case jsontext.KindInvalid, jsontext.KindBeginObject, jsontext.KindEndObject, jsontext.KindBeginArray, jsontext.KindEndArray:
	}
	return errObject
}
