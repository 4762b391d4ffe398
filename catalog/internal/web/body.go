package web

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/idempotency"
	"sluice/core/problem"
)

// bodyBytesMax is the length of the longest body.
const bodyBytesMax = 16 << 10

// Malformed is the problem of a member, or of a request as a whole if there is no pointer.
func Malformed(pointer, format string, values ...any) *problem.Problem {
	return &problem.Problem{Kind: problem.Malformed, Pointer: pointer, Detail: fmt.Sprintf(format, values...)}
}

var (
	errSyntax       = Malformed("", "the body is not one JSON object in UTF-8")
	errBodyMissing  = Malformed("", "the body is missing")
	errBodyUnwanted = Malformed("", "no body is wanted here")
)

// ReadBody reads a body as strictly as the document promises: each member known, at most once and in its own case, nothing
// after the end. A member that is a pointer may be absent; any other has to be there.
func ReadBody(r *http.Request, into any) error {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return unread(err)
	}
	if len(text) == 0 {
		return errBodyMissing // whatever type it is said to have
	}
	if !isJSON(r.Header) {
		return &problem.Problem{Kind: problem.UnsupportedMediaType}
	}
	if jsontext.Value(text).Kind() != jsontext.KindBeginObject {
		return errSyntax
	}
	if err := json.Unmarshal(text, into, json.RejectUnknownMembers(true)); err != nil {
		return faultOf(err)
	}
	return complete(text, into)
}

// noBody checks that there is none where none is understood.
func noBody(r *http.Request) error {
	switch n, err := r.Body.Read(make([]byte, 1)); {
	case n > 0:
		return errBodyUnwanted
	case err != nil && !errors.Is(err, io.EOF):
		return unread(err)
	}
	return nil
}

// unread is the problem of a body that did not come whole.
func unread(err error) *problem.Problem {
	var long *http.MaxBytesError
	var network net.Error
	switch {
	case errors.As(err, &long):
		return &problem.Problem{Kind: problem.PayloadTooLarge, Detail: "A body has at most 16 KiB.", Close: true}
	case errors.As(err, &network) && network.Timeout():
		return &problem.Problem{Kind: problem.RequestTimeout, Close: true}
	}
	return &problem.Problem{Kind: problem.Malformed, Detail: "the body did not come whole", Close: true}
}

// isJSON accepts application/json, in UTF-8 or without a charset.
func isJSON(h http.Header) bool {
	kind, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset, has := parameters["charset"]
	encoding := h.Get("Content-Encoding")
	return err == nil && kind == "application/json" && (len(parameters) == 0 || len(parameters) == 1 && has && strings.EqualFold(charset, "utf-8")) &&
		(encoding == "" || strings.EqualFold(encoding, "identity"))
}

// complete reports the first member that has to be there and is not.
func complete(text []byte, body any) error {
	var there map[string]jsontext.Value
	if err := json.Unmarshal(text, &there); err != nil {
		return faultOf(err)
	}
	of := reflect.TypeOf(body).Elem()
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if value, ok := there[name]; field.Type.Kind() != reflect.Pointer && (!ok || value.Kind() == jsontext.KindNull) {
			return Malformed("/"+name, "the member is missing")
		}
	}
	return nil
}

// faultOf tells what is wrong with a body in words of the API.
func faultOf(err error) *problem.Problem {
	grammar, meaning := new(jsontext.SyntacticError), new(json.SemanticError)
	if errors.As(err, &grammar) {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return Malformed(string(grammar.JSONPointer), "the member is there twice")
		}
		return errSyntax
	}
	if !errors.As(err, &meaning) {
		return errSyntax
	}
	pointer := string(meaning.JSONPointer)
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return Malformed(pointer, "unknown member")
	case meaning.Err != nil && reflect.PointerTo(meaning.GoType).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return Malformed(pointer, "%v", meaning.Err)
	case meaning.GoType == nil:
		return Malformed(pointer, "want another value")
	}
	return Malformed(pointer, "want %s", wanted[meaning.GoType.Kind()])
}

// wanted says for people what members of a type are in JSON.
var wanted = map[reflect.Kind]string{
	reflect.String: "a string", reflect.Bool: "true or false", reflect.Int: "an integer", reflect.Int64: "an integer",
	reflect.Struct: "an object", reflect.Slice: "a list", reflect.Pointer: "another value",
}

// ReadPath reads a part of the path.
func ReadPath(r *http.Request, name string, into any) error {
	return readText(r.PathValue(name), "the "+name+" of the path", into)
}

// ReadQuery reads a parameter of the query, which may be absent.
func ReadQuery(r *http.Request, name string, into any) error {
	if query := r.URL.Query(); query.Has(name) {
		return readText(query.Get(name), "the query parameter "+name, into)
	}
	return nil
}

// ReadHeader reads a header, which may be absent. An Idempotency-Key may not, and loses its quotes.
func ReadHeader(r *http.Request, name string, into any) error {
	values := r.Header.Values(name)
	if name == "Idempotency-Key" {
		key, err := idempotency.Of(r.Header)
		if err != nil {
			return err
		}
		values = []string{key}
	}
	if len(values) == 0 {
		return nil
	}
	return readText(values[0], "the header "+name, into)
}

func readText(value, what string, into any) error {
	switch to := into.(type) {
	case encoding.TextUnmarshaler:
		if err := to.UnmarshalText([]byte(value)); err != nil {
			return Malformed("", "%s: %v", what, err)
		}
	case *string:
		*to = value
	default:
		return fmt.Errorf("read %s: no text becomes %T", what, into)
	}
	return nil
}
