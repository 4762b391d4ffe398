package product_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/png"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/catalog/internal/objects"
	"sluice/catalog/internal/objects/objectstest"
	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/web"
	"sluice/catalog/product"
	"sluice/catalog/seller"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
)

// gallery is a shop with a store, a product, and workers.
type gallery struct {
	*shop

	store *objectstest.Server
	of    product.Product
	at    place.Place
}

func newGallery(t *testing.T) *gallery {
	t.Helper()
	s, category := stocked(t)
	g := &gallery{shop: s, store: objectstest.Start(t)}
	s.media = g.store.Open(t)
	s.Products = s.process()
	g.of = s.whole(category)
	g.at = s.databases.At(shard.OfProduct(g.of.ID))
	g.work()
	return g
}

// work runs the tasks of products until the test ends, or until stop.
func (g *gallery) work() {
	g.t.Helper()
	of := g.Work()
	handlers := maps.Clone(of.Tasks)
	for _, at := range of.Times {
		handlers[at.Name] = at.Do
	}
	worker := task.NewWorker(task.Config{
		Owner: of.Name, Places: g.databases.All(of.Kind), Handlers: handlers, Every: 20 * time.Millisecond, PauseFirst: 20 * time.Millisecond, PauseMax: 50 * time.Millisecond,
		AttemptsMax: 1000, Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(g.t.Context())
	ended := make(chan struct{})
	go func() { worker.Run(ctx); close(ended) }()
	g.t.Cleanup(func() { cancel(); <-ended })
}

// photo is a picture as a file.
func photo(t *testing.T, shade uint8) []byte {
	t.Helper()
	of := image.NewGray(image.Rect(0, 0, 640, 480))
	for i := range of.Pix {
		of.Pix[i] = shade
	}
	var file bytes.Buffer
	if err := png.Encode(&file, of); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func formOf(file []byte) objects.Form {
	return objects.Form{Type: "image/png", Bytes: int64(len(file)), SHA256: sha256.Sum256(file)}
}

func (g *gallery) ask(form objects.Form) (product.Media, objects.Upload) {
	g.t.Helper()
	m, upload, err := g.AskUpload(g.t.Context(), g.as(11), mine, g.of.ID, form)
	if err != nil {
		g.t.Fatal(err)
	}
	return m, upload
}

func (g *gallery) send(of objects.Upload, file []byte) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), of.Method, of.URL, bytes.NewReader(file))
	if err != nil {
		g.t.Fatal(err)
	}
	for name, value := range of.Headers {
		r.Header.Set(name, value)
	}
	answer, err := g.store.Client().Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	if _ = answer.Body.Close(); answer.StatusCode != http.StatusOK {
		g.t.Fatal(answer.Status)
	}
}

func (g *gallery) uploaded(id ids.Media) product.Media {
	g.t.Helper()
	m, err := g.Uploaded(g.t.Context(), g.as(11), mine, g.of.ID, id)
	if err != nil {
		g.t.Fatal(err)
	}
	return m
}

// add uploads a picture, and waits until somebody has to look at it.
func (g *gallery) add(shade uint8) ids.Media {
	g.t.Helper()
	file := photo(g.t, shade)
	m, upload := g.ask(formOf(file))
	g.send(upload, file)
	g.uploaded(m.ID)
	g.await(m.ID, product.MediaPending)
	return m.ID
}

// media is a picture as the product shows it to its seller; zero: there is none.
func (g *gallery) media(id ids.Media) (m product.Media) {
	g.t.Helper()
	for _, m := range g.shown(g.of.ID).Media {
		if m.ID == id {
			return m
		}
	}
	return m
}

func (g *gallery) until(what string, is func() bool) {
	g.t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			g.t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (g *gallery) await(id ids.Media, want product.MediaState) {
	g.t.Helper()
	g.until(fmt.Sprint(id, " is ", want), func() bool { return g.media(id).State == want })
}

// awaitKeys waits until the store has files, by the ends of their keys behind the picture.
func (g *gallery) awaitKeys(want ...string) {
	g.t.Helper()
	slices.Sort(want)
	g.until(fmt.Sprint("the store has ", want), func() bool { return slices.Equal(g.store.Keys(g.t), want) })
}

func files(below string, id ids.Media) []string {
	return []string{below + "/" + id.String() + "/large.jpg", below + "/" + id.String() + "/small.jpg"}
}

func (g *gallery) exec(statement string, values ...any) {
	g.t.Helper()
	if _, err := g.at.In(g.at.Writer()).ExecContext(g.t.Context(), statement, values...); err != nil {
		g.t.Fatal(statement, err)
	}
}

// due has all tasks done now, whatever they wait for.
func (g *gallery) due() {
	g.t.Helper()
	g.exec("UPDATE product_tasks__ SET due_at = NOW(3) WHERE claim = 0")
}

func (g *gallery) version() web.Version { return web.Version(g.shown(g.of.ID).Version) }

// use has the product use pictures.
func (g *gallery) use(all ...ids.Media) error {
	content := g.shown(g.of.ID).Content
	content.Media = all
	_, err := g.ChangeProduct(g.t.Context(), g.as(11), mine, g.of.ID, g.version(), content)
	return err
}

func (g *gallery) decide(id ids.Media, approve bool) error {
	_, err := g.DecideMedia(g.t.Context(), g.as(21), g.of.ID, id, product.Decision{Approve: approve, Reason: "a reason"})
	return err
}

func refused(t *testing.T, what string, err error, code string) {
	t.Helper()
	if codeOf(err) != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// TestAPictureGoesItsWay: from a seller's file to shoppers and away from them.
func TestAPictureGoesItsWay(t *testing.T) {
	t.Parallel()
	g := newGallery(t)
	first, second := g.add(10), g.add(200)
	page, next, err := g.UnseenMedia(t.Context(), queue.Cursor{}, 1)
	if err != nil || len(page) != 1 || page[0].ID != first || next == (queue.Cursor{}) {
		t.Errorf("staff see %+v, %v, %v", page, next, err)
	}
	if backlog, err := g.Backlog(t.Context()); err != nil || backlog["media_review"].Cases != 2 {
		t.Errorf("%+v wait, %v", backlog, err)
	}
	if m := g.media(first); m.Large != (product.MediaSize{Width: 640, Height: 480}) || m.Small != (product.MediaSize{Width: 320, Height: 240}) {
		t.Errorf("its renditions are %+v and %+v", m.Large, m.Small)
	}
	if err := g.use(second, first); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(g.decide(first, true), g.decide(first, true)); err != nil {
		t.Fatal(err)
	}
	g.await(first, product.MediaShown)
	if err := g.decide(first, true); err != nil {
		t.Errorf("approve what is shown: %v", err)
	}
	g.exec("UPDATE products__ SET stage = 'listed' WHERE product_id = ?", g.of.ID)
	shoppers := func(want ...ids.Media) {
		t.Helper()
		w, err := g.Shown(t.Context(), g.of.ID)
		var got []ids.Media
		for _, m := range w.Media {
			got = append(got, m.ID)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("shoppers see %v, %v, want %v", got, err, want)
		}
	}
	shoppers(first) // nobody has looked at the second one
	if err := g.decide(second, true); err != nil {
		t.Fatal(err)
	}
	g.await(second, product.MediaShown)
	shoppers(second, first)
	before := g.version()
	if err := g.decide(first, false); err != nil {
		t.Fatal(err)
	}
	shoppers(second)
	if g.version() != before+1 {
		t.Errorf("the version is %d, and was %d: caches would keep it", g.version(), before)
	}
	refused(t, "approve what is rejected", g.decide(first, true), "wrong_state")
	g.due()
	g.awaitKeys(slices.Concat(files("checked", second), files("shown", second))...)
	if m := g.media(first); m.Reason != "a reason" {
		t.Errorf("its seller reads %q", m.Reason)
	}
	parts := 0
	versions, _, err := g.Versions(t.Context(), seller.Reader{User: 11}, mine, g.of.ID, 0, 100)
	for _, c := range versions {
		if c.Part == product.PartMedia {
			parts++
		}
	}
	if err != nil || parts != 3 {
		t.Errorf("%d versions are of pictures, %v: two were shown, and one is not any more", parts, err)
	}
}

// TestWhatIsUnfit: files that are not what they were said to be come no further, and are removed.
func TestWhatIsUnfit(t *testing.T) {
	t.Parallel()
	g := newGallery(t)
	g.store.Plain.Store(true) // a store that knows no checksums lets other bytes in
	file := photo(t, 10)
	script := []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`)
	other := bytes.Clone(file)
	other[len(other)-1] ^= 1
	for what, c := range map[string]struct {
		said, sent []byte
		fault      string
	}{
		"nothing":     {file, nil, "missing"},
		"other bytes": {file, other, "checksum"},
		"a script":    {script, script, "type"},
		"half of it":  {file[:200], file[:200], "damaged"},
	} {
		m, upload := g.ask(formOf(c.said))
		if c.sent != nil {
			g.send(upload, c.sent)
		}
		g.uploaded(m.ID)
		g.await(m.ID, product.MediaUnfit)
		if got := g.media(m.ID); got.Fault != c.fault {
			t.Errorf("%s is %q, want %q", what, got.Fault, c.fault)
		}
		refused(t, "use "+what, g.use(m.ID), "wrong_state")
		refused(t, "approve "+what, g.decide(m.ID, true), "wrong_state")
		if again := g.uploaded(m.ID); again.State != product.MediaUnfit {
			t.Errorf("again it is %s", again.State)
		}
	}
	g.due()
	g.awaitKeys()
	for what, form := range map[string]objects.Form{
		"SVG": {Type: "image/svg+xml", Bytes: 10}, "a page": {Type: "text/html", Bytes: 10}, "nothing": {Type: "image/png"}, "too much": {Type: "image/png", Bytes: 10<<20 + 1},
	} {
		_, _, err := g.AskUpload(t.Context(), g.as(11), mine, g.of.ID, form)
		refused(t, what, err, "malformed")
	}
}

// TestWhoMayHavePictures: a seller has its own products' alone, a product its own, and nobody decides about their own.
func TestWhoMayHavePictures(t *testing.T) {
	t.Parallel()
	g := newGallery(t)
	id := g.add(10)
	form := formOf(photo(t, 1))
	_, _, err := g.AskUpload(t.Context(), g.as(12), theirs, g.of.ID, form)
	refused(t, "ask for a product of others", err, "unknown_product")
	_, err = g.Uploaded(t.Context(), g.as(12), theirs, g.of.ID, id)
	refused(t, "check a picture of others", err, "unknown_product")
	_, err = g.Uploaded(t.Context(), g.as(11), mine, g.of.ID, id+1)
	refused(t, "check what is not there", err, "unknown_media")
	_, err = g.DecideMedia(t.Context(), g.as(11), g.of.ID, id, product.Decision{Approve: true, Reason: "mine"})
	refused(t, "decide about one's own", err, "own_seller")
	second := g.whole(g.of.Category)
	content := second.Content
	content.Media = []ids.Media{id}
	_, err = g.ChangeProduct(t.Context(), g.as(11), mine, second.ID, web.Version(second.Version), content)
	refused(t, "use a picture of another product", err, "unknown_media")
	_, err = g.MakeProduct(t.Context(), g.as(11), mine, content)
	refused(t, "make a product with a picture", err, "unknown_media")
	refused(t, "use it twice", g.use(id, id), "malformed")
	g.exec("INSERT INTO product_media__ (media_id, product_id, state, type, bytes, sha256, made_at, moved_at) SELECT seq, ?, 'asked', 'image/png', 1, '', NOW(3), NOW(3) FROM seq_1_to_49", g.of.ID)
	_, _, err = g.AskUpload(t.Context(), g.as(11), mine, g.of.ID, form)
	refused(t, "too many", err, "too_many")
	g.exec("UPDATE products__ SET stage = 'archived' WHERE product_id = ?", g.of.ID)
	_, _, err = g.AskUpload(t.Context(), g.as(11), mine, g.of.ID, form)
	refused(t, "of an archived product", err, "wrong_state")
	g.shop.media = nil
	without := g.process()
	_, _, err = without.AskUpload(t.Context(), g.as(11), mine, g.of.ID, form)
	refused(t, "a shop without pictures", err, "no_media")
	_, err = without.Uploaded(t.Context(), g.as(11), mine, g.of.ID, id)
	refused(t, "a shop without pictures", err, "no_media")
}

// TestAddressesOfUploads: a repetition has the same picture, and no address that lives longer than the first one. So a file that comes late is
// removed, too.
func TestAddressesOfUploads(t *testing.T) {
	t.Parallel()
	g := newGallery(t)
	g.clock.Store(time.Now().UnixNano())
	file := photo(t, 10)
	by := g.as(11)
	ask := func() (product.Media, objects.Upload) {
		t.Helper()
		m, upload, err := g.AskUpload(t.Context(), by, mine, g.of.ID, formOf(file))
		if err != nil {
			t.Fatal(err)
		}
		return m, upload
	}
	first, upload := ask()
	g.clock.Add(int64(10 * time.Minute))
	again, later := ask()
	if again.ID != first.ID || later.URL == "" || !strings.Contains(later.URL, first.ID.String()) || strings.Contains(later.URL, "X-Amz-Expires=900") {
		t.Errorf("again it is %s at %s", again.ID, later.URL)
	}
	g.clock.Add(int64(6 * time.Minute))
	if again, late := ask(); again.ID != first.ID || late.URL != "" {
		t.Errorf("at the end it is %s at %q", again.ID, late.URL)
	}
	g.send(upload, file)
	g.uploaded(first.ID)
	g.await(first.ID, product.MediaPending)
	g.send(upload, file) // once more, while the address lives
	g.due()
	g.awaitKeys(files("checked", first.ID)...)
}

// TestSweepsOfMedia: what is never uploaded, and what no product uses, goes with its files. What a product uses stays.
func TestSweepsOfMedia(t *testing.T) {
	t.Parallel()
	g := newGallery(t)
	used, unused := g.add(10), g.add(20)
	asked, upload := g.ask(formOf(photo(t, 30)))
	g.send(upload, photo(t, 30))
	if err := g.use(used, unused); err != nil {
		t.Fatal(err)
	}
	if err := g.use(used); err != nil {
		t.Fatal(err)
	}
	sweep := func() {
		t.Helper()
		g.exec("INSERT INTO product_tasks__ (kind, name, data, due_at, made_at) VALUES ('sweep_media', 'a test', 'null', NOW(3), NOW(3))")
		g.until("the sweep", func() bool { return g.count(g.at, "product_tasks__ WHERE kind = 'sweep_media'") == 0 })
	}
	sweep()
	if n := len(g.shown(g.of.ID).Media); n != 3 {
		t.Errorf("%d pictures are left before their time", n)
	}
	g.exec("UPDATE product_media__ SET ends_at = ends_at - INTERVAL 7 DAY")
	sweep()
	if g.media(used).ID != used || g.media(unused).ID != 0 || g.media(asked.ID).ID != 0 {
		t.Errorf("left are %+v", g.shown(g.of.ID).Media)
	}
	g.due()
	g.awaitKeys(files("checked", used)...)
	first := g.shown(g.of.ID).Version - 1 // as of which it used both
	if _, err := g.Restore(t.Context(), g.as(11), mine, g.of.ID, g.version(), first); err != nil {
		t.Fatal(err)
	}
	if got := g.shown(g.of.ID).Content.Media; !slices.Equal(got, []ids.Media{used}) {
		t.Errorf("restored are %v: what was removed does not come back", got)
	}
}

// TestAStoreThatIsAway keeps back what needs it, and loses nothing.
func TestAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	g := newGallery(t)
	file := photo(t, 10)
	m, upload := g.ask(formOf(file))
	g.send(upload, file)
	g.store.Away.Store(true)
	g.uploaded(m.ID)
	tries := func() bool { return g.count(g.at, "product_tasks__ WHERE attempts > 2") > 0 }
	g.until("the file is asked for", tries)
	g.store.Away.Store(false)
	g.await(m.ID, product.MediaPending)
	g.store.Away.Store(true)
	if err := g.decide(m.ID, true); err != nil {
		t.Fatal(err)
	}
	g.until("it is to be shown", tries)
	if got := g.media(m.ID); got.State != product.MediaApproved {
		t.Errorf("it is %s", got.State)
	}
	g.store.Away.Store(false)
	g.await(m.ID, product.MediaShown)
}

// TestARejectionBesideAnApproval: whatever comes first, nothing of a rejected picture is left for shoppers.
func TestARejectionBesideAnApproval(t *testing.T) {
	t.Parallel()
	g := newGallery(t)
	id := g.add(10)
	once := make(chan struct{}, 1)
	once <- struct{}{}
	done := make(chan error, 1)
	g.store.Before(func(r *http.Request) {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/shown/") {
			return
		}
		select {
		case <-once:
			done <- g.decide(id, false) // while its files are on the way
		default:
		}
	})
	if err := g.decide(id, true); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	g.until("the tasks end", func() bool { g.due(); return g.count(g.at, "product_tasks__") == 0 })
	g.awaitKeys()
	if got := g.media(id); got.State != product.MediaRejected {
		t.Errorf("it is %s", got.State)
	}
}
