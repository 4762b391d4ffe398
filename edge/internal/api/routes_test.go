package api

import (
	"slices"
	"strings"
	"testing"
)

// A literal path beside a pattern allows only its own methods, in whichever order they are registered.
func TestRoutesBeside(t *testing.T) {
	t.Parallel()
	r := routes{}
	for _, route := range []string{"POST /a/list", "GET /a/{id}", "HEAD /a/{id}", "GET /a", "PUT /{any}/list", "POST /a/{id}/done", "DELETE /a/list/x"} {
		method, path, _ := strings.Cut(route, " ")
		r.add(method, path)
	}
	for path, want := range map[string][]string{"/a/list": {"GET", "HEAD", "PUT"}, "/a": nil, "/a/{id}": nil, "/a/list/x": nil} {
		if got := r.beside(path); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

// No literal path of the API is taken for another's, by any method.
func TestLiteralPathsHaveTheirOwnMethods(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	beside := 0
	for path, methods := range f.api.routes {
		for _, method := range f.api.routes.beside(path) {
			beside++
			if method == "HEAD" { // its answer has no body to check
				continue
			}
			got := f.do(call{method: method, path: path})
			if got.status != 405 || got.header.Get("Allow") != strings.Join(methods, ", ") {
				t.Errorf("%s %s: %d, Allow %q", method, path, got.status, got.header.Get("Allow"))
			}
		}
	}
	if beside == 0 {
		t.Error("no path lies beside another: this test shows nothing")
	}
}
