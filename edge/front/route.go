package front

import (
	"net/http"

	"sluice/core/ids"
	"sluice/core/problem"
)

// Route is one of the catalog's readings that an edge serves. Each is for anybody, and its answer is everybody's.
type Route struct {
	Name  string   // in metrics
	Path  string   // with the names of its parameters
	Query []string // its parameters, in the order that they have in a target

	id      string               // the parameter of the path, if the route has one
	unknown *problem.Kind        // what the catalog says of an id that nothing has
	refers  *problem.Kind        // likewise of an id in the query
	reads   func(id string) bool // whether the text is an id of the kind
	tag     func(id string) string
	// versioned routes show one thing, of which each version has an answer of its own: ETag tells it, and events tell it too.
	versioned bool
}

// The tags of answers that tell of several things: an event of any of them makes them old.
const (
	tagTree   = "categories"
	tagBrands = "brands"
)

var (
	unknownProduct  = problem.NewKind(problem.Kind{Code: "unknown_product", Status: http.StatusNotFound, Title: "There is no such product."})
	unknownCategory = problem.NewKind(problem.Kind{Code: "unknown_category", Status: http.StatusNotFound, Title: "There is no such category."})
	unknownBrand    = problem.NewKind(problem.Kind{Code: "unknown_brand", Status: http.StatusNotFound, Title: "There is no such brand."})
)

// Kinds are the problems of the catalog's routes that are no edge's.
func Kinds() []*problem.Kind { return []*problem.Kind{unknownProduct, unknownCategory, unknownBrand} }

var routes = []*Route{
	{
		Name: "product", Path: "/v1/products/{product_id}", id: "product_id",
		unknown: unknownProduct, reads: is[ids.Product], tag: itself, versioned: true,
	},
	{
		Name: "categories", Path: "/v1/categories", Query: []string{"parent_id", "deep", "limit", "cursor"},
		refers: unknownCategory, tag: always(tagTree),
	},
	{
		// The path of a category and its place change with others, which its version does not tell.
		Name: "category", Path: "/v1/categories/{category_id}", id: "category_id",
		unknown: unknownCategory, reads: is[ids.Category], tag: always(tagTree),
	},
	{
		Name: "attributes", Path: "/v1/categories/{category_id}/attributes", id: "category_id",
		unknown: unknownCategory, reads: is[ids.Category], tag: always(tagTree),
	},
	{
		Name: "brands", Path: "/v1/brands", Query: []string{"limit", "cursor"},
		tag: always(tagBrands),
	},
	{
		Name: "brand", Path: "/v1/brands/{brand_id}", id: "brand_id",
		unknown: unknownBrand, reads: is[ids.Brand], tag: itself, versioned: true,
	},
}

// Routes are those that an edge serves.
func Routes() []*Route { return routes }

// Parameter is the name of the parameter of the path, empty if there is none.
func (r *Route) Parameter() string { return r.id }

// Reads reports whether a text is an id of what the route shows.
func (r *Route) Reads(text string) bool { return r.reads(text) }

func is[T ids.Any](text string) bool {
	_, err := ids.Read[T](text)
	return err == nil
}

func itself(id string) string { return id }

func always(tag string) func(string) string { return func(string) string { return tag } }

// plain reports whether a value of a query means itself, however it is read: nothing in it is encoded.
func plain(value []byte) bool {
	for _, c := range value {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return len(value) > 0 && len(value) <= 32
}
