package web

import (
	"slices"
	"strings"
)

// router finds operations by method and path. It compares paths as they are sent, and redirects nobody.
type router struct{ root node }

// node is a place in a path.
type node struct {
	literal   map[string]*node
	parameter *node
	name      string // of the parameter that leads to this node
	methods   map[string]*operation
}

// add adds an operation. Two of them with one method and path are a mistake in the document.
func (r *router) add(o *operation) (ok bool) {
	at := &r.root
	for part := range strings.SplitSeq(o.route.Path[1:], "/") {
		next := at.literal[part]
		name, isName := strings.CutPrefix(part, "{")
		if isName {
			name = strings.TrimSuffix(name, "}")
			next = at.parameter
		}
		if next == nil {
			next = &node{literal: map[string]*node{}, methods: map[string]*operation{}, name: name}
			if isName {
				at.parameter = next
			} else {
				if at.literal == nil {
					at.literal = map[string]*node{}
				}
				at.literal[part] = next
			}
		}
		if isName && next.name != name {
			return false
		}
		at = next
	}
	_, twice := at.methods[o.route.Method]
	at.methods[o.route.Method] = o
	return !twice
}

// find returns the node of a path, or nil, and calls set for each parameter in it.
func (r *router) find(path string, set func(name, value string)) *node {
	if path == "" || path[0] != '/' {
		return nil
	}
	at := &r.root
	for part := range strings.SplitSeq(path[1:], "/") {
		next := at.literal[part]
		if next == nil && at.parameter != nil && part != "" {
			next = at.parameter
			set(next.name, part)
		}
		if next == nil {
			return nil
		}
		at = next
	}
	if len(at.methods) == 0 {
		return nil
	}
	return at
}

// allow lists the methods of a path.
func (n *node) allow() string {
	var methods []string
	for method := range n.methods {
		methods = append(methods, method)
		if method == "GET" {
			methods = append(methods, "HEAD")
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}
