package web

import (
	"encoding"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"sluice/core/idempotency"
)

// checkQuery checks that each parameter of the query is known, comes once, and can be read in one way.
func checkQuery(r *http.Request, known []string) error {
	seen := map[string]bool{}
	for item := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(item, "=")
		switch {
		case item == "":
		case !slices.Contains(known, name):
			return Malformed("", "unknown query parameter %s", strconv.QuoteToASCII(name[:min(len(name), 64)]))
		case seen[name]:
			return Malformed("", "the query parameter %s is there twice", name)
		}
		seen[name] = true
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil { // r.URL.Query leaves out what it cannot read
		return Malformed("", "the query cannot be decoded")
	}
	return nil
}

// ReadPath reads a part of the path.
func ReadPath(r *http.Request, name string, into any) error {
	return readText(r.PathValue(name), "the "+name+" of the path", into)
}

// ReadQuery reads a parameter of the query, which may be absent.
func ReadQuery(r *http.Request, name string, into any) error {
	if query := r.URL.Query(); query.Has(name) {
		err := readText(query.Get(name), "the query parameter "+name, into)
		if err == nil && query.Get(name) == "" { // it would look as if it were absent
			err = Malformed("", "the query parameter %s is empty", name)
		}
		return err
	}
	return nil
}

// NeedQuery reads a parameter of the query, which has to be there.
func NeedQuery(r *http.Request, name string, into any) error {
	if !r.URL.Query().Has(name) {
		return Malformed("", "the query parameter %s is missing", name)
	}
	return ReadQuery(r, name, into)
}

// ReadHeader reads a header, which may be absent and comes once. An Idempotency-Key may not be absent, and loses its quotes.
func ReadHeader(r *http.Request, name string, into any) error {
	values := r.Header.Values(name)
	if name == "Idempotency-Key" {
		key, err := idempotency.Of(r.Header)
		if err != nil {
			return err
		}
		values = []string{key}
	}
	switch len(values) {
	case 0:
		return nil
	case 1:
		return readText(values[0], "the header "+name, into)
	}
	return errTwice
}

// NeedHeader reads a header, which has to be there.
func NeedHeader(r *http.Request, name string, into any) error {
	if len(r.Header.Values(name)) == 0 && name != "Idempotency-Key" {
		if name == "If-Match" {
			return errVersionMissing
		}
		return Malformed("", "the header %s is missing", name)
	}
	return ReadHeader(r, name, into)
}

// readText reads what a parameter of the document may be: text, one of some words, an integer, true or false, or what reads
// itself. A pointer becomes one to it.
func readText(value, what string, into any) error {
	if !utf8.ValidString(value) {
		return Malformed("", "%s: want UTF-8", what)
	}
	if to, ok := into.(encoding.TextUnmarshaler); ok {
		if err := to.UnmarshalText([]byte(value)); err != nil {
			return Malformed("", "%s: %v", what, err)
		}
		return nil
	}
	switch to := reflect.ValueOf(into).Elem(); to.Kind() { //nolint:exhaustive // the others are errors
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		return readText(value, what, to.Interface())
	case reflect.String:
		to.SetString(value)
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(value, 10, to.Type().Bits())
		if err != nil || strconv.FormatInt(n, 10) != value { // in one form only
			return Malformed("", "%s: want an integer", what)
		}
		to.SetInt(n)
	case reflect.Bool:
		if value != "true" && value != "false" {
			return Malformed("", "%s: want true or false", what)
		}
		to.SetBool(value == "true")
	default:
		return fmt.Errorf("read %s: no text becomes %T", what, into)
	}
	return nil
}
