package web

import (
	"bytes"
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

// receive reads the body of a request whole, and has the operation read it from memory: an operation never waits for a client.
func receive(r *http.Request) error {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return unread(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	return nil
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

// ReadBody reads a body as strictly as the document promises: each member known, at most once and in its own case, nothing
// after the end, and all there that has to be.
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
	return complete(text, reflect.TypeOf(into).Elem(), "")
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
	case meaning.GoType == nil:
		return Malformed(pointer, "want another value")
	case meaning.Err != nil && reflect.PointerTo(meaning.GoType).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return Malformed(pointer, "%v", meaning.Err)
	}
	return Malformed(pointer, "want %s", wanted[meaning.GoType.Kind()])
}

// wanted says for people what members of a type are in JSON.
var wanted = map[reflect.Kind]string{
	reflect.String: "a string", reflect.Bool: "true or false", reflect.Int: "an integer", reflect.Int64: "an integer",
	reflect.Struct: "an object", reflect.Slice: "a list", reflect.Pointer: "another value",
}
