package api

import (
	"maps"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"sluice/core/problem"
)

// routes are the methods of each path that the API has.
type routes map[string][]string

func (r routes) add(method, path string) {
	r[path] = append(r[path], method)
	slices.Sort(r[path])
}

// beside lists the methods that a literal path lacks, of patterns that match it. With such a method the router would
// take the path for one of the pattern's: GET of a list of reservations for GET of the reservation with that id.
func (r routes) beside(path string) (methods []string) {
	if strings.Contains(path, "{") {
		return nil
	}
	for pattern, others := range r {
		if matches(pattern, path) {
			methods = append(methods, others...)
		}
	}
	methods = slices.DeleteFunc(methods, func(method string) bool { return slices.Contains(r[path], method) })
	slices.Sort(methods)
	return slices.Compact(methods)
}

// matches reports whether a literal path is one of a pattern's.
func matches(pattern, path string) bool {
	parts, segments := strings.Split(pattern, "/"), strings.Split(path, "/")
	return slices.EqualFunc(parts, segments, func(part, segment string) bool {
		return part == segment || strings.HasPrefix(part, "{") && segment != ""
	})
}

// refuseBeside has the router refuse what it would take for another path's.
func (a *API) refuseBeside() {
	for _, path := range slices.Sorted(maps.Keys(a.routes)) {
		for _, method := range a.routes.beside(path) {
			a.router.Handle(method, path, a.route("none", a.methodNotAllowed))
		}
	}
}

// methodNotAllowed names the methods of the path. For a path with parameters it takes the router's list, which has OPTIONS
// always.
func (a *API) methodNotAllowed(r *request) error {
	allow, literal := a.routes[string(r.ctx.Path())]
	if !literal {
		for method := range strings.SplitSeq(string(r.ctx.Response.Header.Peek("Allow")), ", ") {
			if method != fasthttp.MethodOptions {
				allow = append(allow, method)
			}
		}
	}
	return &problem.Problem{Kind: problem.MethodNotAllowed, Allow: strings.Join(allow, ", ")}
}
