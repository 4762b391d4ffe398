package front

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/core/ids"
	"sluice/core/problem"
)

// faults are what a catalog can do instead of answering.
var faults = map[string]func(w http.ResponseWriter, r *http.Request) bool{
	"hangs": func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true },
	"sends half a body": func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Etag", `"9"`)
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"half":`)
		panic(http.ErrAbortHandler)
	},
	"sends half a document": func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Etag", `"9"`)
		_, _ = io.WriteString(w, `{"half":`)
		return true
	},
	"sends too much": func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Etag", `"9"`)
		_, _ = io.WriteString(w, `"`+strings.Repeat("x", answerBytesMax)+`"`)
		return true
	},
	"sends a page": func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `{}`)
		return true
	},
	"sends no version": func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{}`)
		return true
	},
	"leads elsewhere": func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "/v1/brands", http.StatusFound)
		return true
	},
	"fails": func(w http.ResponseWriter, r *http.Request) bool {
		(&problem.Problem{Kind: problem.Internal}).Write(w, r, "")
		return true
	},
	"sends another problem": func(w http.ResponseWriter, r *http.Request) bool {
		(&problem.Problem{Kind: unknownBrand}).Write(w, r, "")
		return true
	},
	"sends no problem": func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", problem.MediaType)
		w.WriteHeader(http.StatusNotFound)
		return true
	},
}

// While the catalog gives no answer, older ones are given and say so, up to their bound; who wants something else hears that it is
// away. Once it is back all is as before.
func TestStaleAnswersWhileTheCatalogFails(t *testing.T) {
	t.Parallel()
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.set("/v1/products/"+shirt, 1)
			f := s.front()
			s.want(f, product(shirt), page(1))
			f.cfg.Timeout = 100 * time.Millisecond
			s.answers(fault)
			s.want(f, product(shirt), page(1))
			time.Sleep(2 * time.Millisecond)
			s.tell(f, changed(2, "listed"))
			for range 4 * failuresMax {
				s.want(f, product(shirt), "stale "+page(1))
			}
			if n := s.asked.Load(); n > 3*failuresMax {
				t.Errorf("the catalog was asked %d times while it fails", n)
			}
			s.want(f, product(ids.Product(78).String()), "unavailable")
			r, err := f.Get(product(shirt))
			if err != nil || !r.Stale || r.AgeS < 1 || r.LateS < 1 {
				t.Errorf("a stale answer is %+v, %v", r, err)
			}
			s.answers(nil)
			s.set("/v1/products/"+shirt, 2)
			deadline := time.Now().Add(time.Minute)
			for got(f, product(shirt)) != page(2) {
				if time.Now().After(deadline) {
					t.Fatal("the catalog is back, and nobody asks it")
				}
				time.Sleep(10 * time.Millisecond)
			}
			s.answers(fault)
			s.tell(f, changed(3, "archived"))
			if have := got(f, product(shirt)); have != "unknown_product" {
				t.Errorf("what shoppers see no more is %s: behind a failure, a CDN may still show it", have)
			}
		})
	}
}

// What a seller may sell no more is hidden too while the catalog fails, and shown again once the seller may.
func TestSuspendedSellersWhileTheCatalogFails(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.set("/v1/products/"+shirt, 1)
	f := s.front()
	s.want(f, product(shirt), page(1))
	s.answers(faults["fails"])
	time.Sleep(2 * time.Millisecond) // an answer of the moment of an event is none from before it
	s.tell(f, event("seller_moved", seller, 2, `{"state":"suspended","products_listed":false}`))
	for range 2 * failuresMax {
		s.want(f, product(shirt), "unknown_product")
	}
	s.tell(f, event("seller_moved", seller, 3, `{"state":"active","products_listed":true}`))
	s.want(f, product(shirt), "stale "+page(1))
}

// A problem of a question is no failure of the catalog, however often somebody asks: others get their answers.
func TestProblemsOfQuestionsLeaveTheCatalogOn(t *testing.T) {
	t.Parallel()
	none := Ask{Route: named("categories"), Target: "/v1/categories?parent_id=" + ids.Category(99).String()}
	for kind, ask := range map[*problem.Kind]Ask{unknownCategory: none, problem.HeadersTooLarge: none, problem.Malformed: tree(), unknownProduct: product(ids.Product(78).String())} {
		s := newShop(t)
		s.set("/v1/products/"+shirt, 1)
		f := s.front()
		s.answers(func(w http.ResponseWriter, r *http.Request) bool {
			if r.RequestURI != ask.Target {
				return false
			}
			(&problem.Problem{Kind: kind}).Write(w, r, "")
			return true
		})
		for range 2 * failuresMax {
			s.want(f, ask, kind.Code)
		}
		s.want(f, product(shirt), page(1))
	}
}

// Who joins somebody else's question does not hear of that one's limit.
func TestALimitIsOfOneAddress(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.set("/v1/products/"+shirt, 1)
	f := s.front()
	first, asked, open := netip.MustParseAddr("203.0.113.1"), make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("X-Forwarded-For") != first.String() {
			return false
		}
		once.Do(func() { close(asked) })
		<-open
		(&problem.Problem{Kind: problem.RateLimited}).Write(w, r, "")
		return true
	})
	var all sync.WaitGroup
	all.Go(func() {
		by := product(shirt)
		by.Client = first
		_, _ = f.Get(by) // it is limited, or has what others bring
	})
	<-asked
	for i := range 20 {
		all.Go(func() {
			by := product(shirt)
			by.Client = netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)})
			s.want(f, by, page(1))
		})
	}
	time.Sleep(20 * time.Millisecond) // for them to join: who comes later asks alone, and gets the same
	close(open)
	all.Wait()
}

// A stale answer has a bound.
func TestStaleAnswersEnd(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.set("/v1/products/"+shirt, 1)
	f := s.front(func(p *Parts) { p.Life, p.StaleMax = time.Millisecond, 0 })
	s.want(f, product(shirt), page(1))
	s.answers(faults["fails"])
	time.Sleep(5 * time.Millisecond)
	s.want(f, product(shirt), "unavailable")
}

// Who has a stale answer does not wait long for a slow catalog, and its answer is kept when it comes.
func TestASlowCatalogKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.set("/v1/products/"+shirt, 1)
	f := s.front()
	s.want(f, product(shirt), page(1))
	s.set("/v1/products/"+shirt, 2)
	slow := make(chan struct{})
	s.answers(func(http.ResponseWriter, *http.Request) bool { <-slow; return false })
	s.tell(f, changed(2, "listed"))
	s.want(f, product(shirt), "stale "+page(1))
	close(slow)
	deadline := time.Now().Add(time.Minute)
	for got(f, product(shirt)) != page(2) {
		if time.Now().After(deadline) {
			t.Fatal("the answer of a slow catalog is not kept")
		}
		time.Sleep(time.Millisecond)
	}
}

// Questions on their way are bounded: others hear that the edge is overloaded.
func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	f := s.front(func(p *Parts) { p.FetchesMax = 2 })
	slow := make(chan struct{})
	s.answers(func(http.ResponseWriter, *http.Request) bool { <-slow; return false })
	var all sync.WaitGroup
	for i := range 2 {
		all.Go(func() { s.want(f, product(ids.Product(100+i).String()), "unknown_product") })
	}
	for s.asked.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	s.want(f, product(ids.Product(200).String()), "overloaded")
	close(slow)
	all.Wait()
}
