package client

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"sluice/core/problem"
)

// document is the API document. Its server is any.
var document = sync.OnceValue(func() *openapi3.T {
	doc, err := openapi3.NewLoader().LoadFromFile("../../docs/api/openapi.yaml")
	if err != nil {
		panic(err)
	}
	doc.Servers = nil
	return doc
})

var router = sync.OnceValue(func() routers.Router {
	r, err := legacy.NewRouter(document())
	if err != nil {
		panic(err)
	}
	return r
})

// operators are the operations that the client leaves to those who mend a deployment by its command line.
var operators = []string{"showShutCells", "listDeadLetters", "showDeadLetter", "resolveDeadLetter", "replayDeadLetter"}

// calls has a call of each operation of the document, with all that can be sent.
var calls = map[string]func(*testing.T, *Client) (any, error){
	"reserve": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.Reserve(t.Context(), Take{SKU: 1, Quantity: 2, Sale: 7, User: 42, Key: `"quoted"`})
	},
	"holdBasket": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.HoldBasket(t.Context(), Basket{Items: []Item{{SKU: 1, Quantity: 2}, {SKU: 2, Quantity: 1, Sale: 7}}, User: 42, Key: "k"})
	},
	"deduct": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.Deduct(t.Context(), Take{SKU: 1, Quantity: 2})
	},
	"reservation": func(t *testing.T, c *Client) (any, error) { t.Helper(); return c.Reservation(t.Context(), someID) },
	"confirm":     func(t *testing.T, c *Client) (any, error) { t.Helper(); return c.Confirm(t.Context(), someID) },
	"release":     func(t *testing.T, c *Client) (any, error) { t.Helper(); return c.Release(t.Context(), someID) },
	"extend": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.Extend(t.Context(), someID, someTime)
	},
	"confirmAll": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		got, err := c.ConfirmAll(t.Context(), []string{someID})
		return map[string]any{"data": got}, err
	},
	"releaseAll": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		got, err := c.ReleaseAll(t.Context(), []string{someID})
		return map[string]any{"data": got}, err
	},
	"extendAll": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		got, err := c.ExtendAll(t.Context(), []string{someID}, someTime)
		return map[string]any{"data": got}, err
	},
	"return": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.Return(t.Context(), Return{SKU: 1, Quantity: 2, Sale: 7, User: 42, Reason: "did not fit", Key: "refund-1", Asked: someTime})
	},
	"deployment": func(t *testing.T, c *Client) (any, error) { t.Helper(); return c.Deployment(t.Context()) },
	"showReturn": func(t *testing.T, c *Client) (any, error) { t.Helper(); return c.ShowReturn(t.Context(), someID) },
	"listHeld": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.ListHeld(t.Context(), 7, Page{500, "abc"})
	},
	"stock": func(t *testing.T, c *Client) (any, error) { t.Helper(); return c.Stock(t.Context(), 1001, 7) },
	"stocks": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		got, err := c.Stocks(t.Context(), []int64{1001, 1002}, 7)
		return map[string]any{"data": got}, err
	},
	"listSKUs": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.ListSKUs(t.Context(), StockFilter{7, new(int64(0))}, Page{})
	},
	"loadSKU": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.LoadSKU(t.Context(), Load{SKU: 1, Quantity: 5, Reason: "new", Settings: everything})
	},
	"showSKU": func(t *testing.T, c *Client) (any, error) { t.Helper(); return c.ShowSKU(t.Context(), 1001, 7) },
	"changeSKU": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.ChangeSKU(t.Context(), Change{SKU: 1, Reason: "less", Settings: everything})
	},
	"adjustSKU": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.AdjustSKU(t.Context(), Adjustment{SKU: 1, Sale: 7, Delta: -3, Reason: "broken"})
	},
	"transfer": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.Transfer(t.Context(), Transfer{SKU: 1, FromSale: 7, ToSale: 8, Quantity: 10, Reason: "unsold"})
	},
	"listReservations": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.ListReservations(t.Context(), ReservationFilter{42, 1001, 7, StateHeld}, Page{})
	},
	"listSales": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.ListSales(t.Context(), PhaseOpen, Page{})
	},
	"createSale": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.CreateSale(t.Context(), Plan{
			Sale: 7, Name: "day", Items: []Allotment{{1001, 100}},
			Limit: new(int64(1)), Hold: new(time.Minute), Ack: AckLog, ShopperDeducts: new(true),
		})
	},
	"registerUsers": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.RegisterUsers(t.Context(), 7, []int64{1001, 1002})
	},
	"showSale": func(t *testing.T, c *Client) (any, error) { t.Helper(); return c.ShowSale(t.Context(), 7) },
	"openSale": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.OpenSale(t.Context(), Opening{Sale: 7, OpensAt: new(someTime), ClosesAt: new(time.Time{})})
	},
	"closeSale": func(t *testing.T, c *Client) (any, error) {
		t.Helper()
		return c.CloseSale(t.Context(), Closing{Sale: 7, ClosesAt: new(someTime)})
	},
	"fillSale":  func(t *testing.T, c *Client) (any, error) { t.Helper(); return c.FillSale(t.Context(), 7, "") },
	"emptySale": func(t *testing.T, c *Client) (any, error) { t.Helper(); return c.EmptySale(t.Context(), 7, "") },
}

const someID = "002a7c0e0d8f1b3c5d7e9f10213243a5"

var (
	someTime   = time.Date(2026, 11, 11, 20, 0, 0, 250e6, time.FixedZone("", 8*3600))
	everything = Settings{
		Limit: new(int64(0)), Hold: new(10 * time.Minute), ExtendMax: new(time.Hour), OpensAt: new(someTime), ClosesAt: new(time.Time{}),
		Ack: AckReplica, ShopperDeducts: new(false), Frozen: new(true),
	}
)

// Each operation has a method of its name, which asks as the document says and understands what it answers.
func TestClientKeepsToTheDocument(t *testing.T) {
	t.Parallel()
	doc := document()
	wanted := slices.Clone(operators)
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			name := op.OperationID
			if slices.Contains(operators, name) {
				continue
			}
			wanted = append(wanted, name)
			method := strings.ToUpper(name[:1]) + name[1:]
			if _, ok := reflect.TypeFor[*Client]().MethodByName(method); !ok {
				t.Errorf("the client has no method %s", method)
			} else if calls[name] == nil {
				t.Errorf("the test has no call of %s", name)
			}
		}
	}
	for name, ask := range calls {
		if !slices.Contains(wanted, name) {
			t.Errorf("the document has no operation %s", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			edge := newDocumented(t)
			got, err := ask(t, edge.client(t))
			if err != nil {
				t.Fatal(err)
			}
			if edge.operation != name {
				t.Errorf("asked for %s", edge.operation)
			}
			text, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			var read any
			if err := json.Unmarshal(text, &read); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(trimmed(edge.answered), trimmed(read)); diff != "" {
				t.Errorf("of the document's example, the client has read (-answered +read):\n%s", diff)
			}
		})
	}
}

// trimmed is an answer whose moments have no zeros at their end: 20:00:00.250 and 20:00:00.25 are one moment.
func trimmed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		short := map[string]any{} // the document's own are shared
		for name := range v {
			short[name] = trimmed(v[name])
		}
		return short
	case []any:
		short := make([]any, len(v))
		for i := range v {
			short[i] = trimmed(v[i])
		}
		return short
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			return at.Format(time.RFC3339Nano)
		}
	}
	return v
}

// documented is an edge that takes what the document describes, and answers with its example.
type documented struct {
	*httptest.Server
	operation string
	answered  any
}

func newDocumented(t *testing.T) *documented {
	t.Helper()
	d := &documented{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, params, err := router().FindRoute(r)
		if err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
			return
		}
		d.operation = route.Operation.OperationID
		err = openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
			Request: r, PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, RejectWhenRequestBodyNotSpecified: true},
		})
		if err != nil {
			t.Errorf("%s %s is not as documented: %v", r.Method, r.URL, err)
		}
		status := slices.Min(slices.Collect(maps.Keys(route.Operation.Responses.Map())))
		media := route.Operation.Responses.Value(status).Value.Content["application/json"]
		d.answered = media.Example
		for _, example := range media.Examples {
			d.answered = example.Value.Value
		}
		code, _ := strconv.Atoi(status)
		text, err := json.Marshal(d.answered)
		if err != nil {
			t.Error(err)
		}
		answer(code, string(text))(w, r)
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *documented) client(t *testing.T) *Client {
	t.Helper()
	c, err := New(Config{URL: d.URL + "/", Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.As("token")
}

// Examples leave members out: here is every one.
func TestAnswersHaveEveryMember(t *testing.T) {
	t.Parallel()
	doc := document()
	for schema, types := range map[string][]reflect.Type{
		"Reservation":    {reflect.TypeFor[Reservation]()},
		"ReservationRow": {reflect.TypeFor[Reservation]()},
		"Settled":        {reflect.TypeFor[Settled]()},
		"Stock":          {reflect.TypeFor[Stock]()},
		"StockList":      {reflect.TypeFor[List[Stock]]()},
		"Cell":           {reflect.TypeFor[Cell]()},
		"StockRow":       {reflect.TypeFor[StockRow]()},
		"Sale":           {reflect.TypeFor[Sale]()},
		"SaleRow":        {reflect.TypeFor[SaleRow]()},
		"Problem":        {reflect.TypeFor[Problem]()},
	} {
		for _, typ := range types {
			var names []string
			for i := range typ.NumField() {
				name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
				names = append(names, name)
			}
			for name := range doc.Components.Schemas[schema].Value.Properties {
				if !slices.Contains(names, name) && (schema != "Problem" || name != "type" && name != "status") {
					t.Errorf("%v has no %s", typ, name)
				}
			}
		}
	}
}

func TestEveryCodeHasAConstant(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "problem.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var constants []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && fmt.Sprint(spec.Type) == "Code" {
			word, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Error(err)
			}
			constants = append(constants, word)
		}
		return true
	})
	var words []string
	for _, kind := range problem.Kinds() {
		words = append(words, kind.Code)
	}
	slices.Sort(constants)
	slices.Sort(words)
	if diff := cmp.Diff(words, constants); diff != "" {
		t.Errorf("codes (-sluice +constants):\n%s", diff)
	}
}
