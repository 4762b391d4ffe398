package api

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fasthttp"

	"sluice/core/problem"
)

// A service on net/http answers byte for byte as the edge does.
func TestProblemsOfBothServersAreAlike(t *testing.T) {
	t.Parallel()
	for _, kind := range problem.Kinds() {
		for _, p := range []*problem.Problem{
			{Kind: kind},
			{Kind: kind, Detail: "a \u202e\"b\"", Pointer: "/x/0", State: "held", RetryAfter: 7, Close: true, Allow: "GET, HEAD"},
		} {
			var edge fasthttp.Response
			edge.Header.DisableNormalizing()
			writeProblem(&edge, p, nil, []byte("9f"))
			w := httptest.NewRecorder()
			p.Write(w, httptest.NewRequest(http.MethodPost, "/", http.NoBody), "9f")
			if w.Code != edge.StatusCode() || w.Body.String() != string(edge.Body()) {
				t.Errorf("%d %s\nof the edge: %d %s", w.Code, w.Body, edge.StatusCode(), edge.Body())
			}
			sent := http.Header{"X-Request-Id": {"9f"}} // which the edge gives every answer
			for name, value := range edge.Header.All() {
				sent.Add(string(name), string(value))
			}
			sent.Set("Content-Length", w.Header().Get("Content-Length")) // of fasthttp's, only once it is sent
			if diff := cmp.Diff(sent, w.Header()); diff != "" {
				t.Errorf("headers of %v (-edge +net/http):\n%s", p, diff)
			}
		}
	}
}
