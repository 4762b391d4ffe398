package catalog_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"image"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/catalog"
	"sluice/catalog/internal/objects"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/local/contracttest"
	"sluice/core/shard"
)

const noMedia = "med_0000000000001"

// photo is a file, and what is said of it.
func photo(t *testing.T) (file []byte, said string) {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 40, 30))); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	return b.Bytes(), fmt.Sprintf(`{"type":"image/png","bytes":%d,"sha256":%q}`, b.Len(), hex.EncodeToString(sum[:]))
}

// exerciseMedia goes the way of a picture of another product from its file to shoppers.
func (g *goods) exerciseMedia() {
	g.t.Helper()
	g.member(144)
	mia := g.token(144, auth.RoleShopper)
	file, said := photo(g.t)
	path := "/v1/sellers/" + g.seller + "/products"
	product := g.text(g.write("POST", path, mia, g.key(), g.content(), "ok"), "product_id")
	path += "/" + product
	key := g.key()
	made := g.write("POST", path+"/media", mia, key, said, "ok")
	again := g.write("POST", path+"/media", mia, key, said, "ok")
	g.write("POST", path+"/media", mia, key, strings.Replace(said, "png", "webp", 1), "mismatch")
	media, _ := made.JSON["media"].(map[string]any)
	id := fmt.Sprint(media["media_id"])
	if !strings.Contains(again.Body, id) || media["state"] != "asked" {
		g.t.Errorf("made %s, and again %s", made.Body, again.Body)
	}
	for old, with := range map[string]string{"image/png": "image/svg+xml", `"bytes":`: `"bytes":-`, `"sha256":"`: `"sha256":"0`} {
		g.shoot(shot{Method: "POST", Path: path + "/media", Token: mia, Body: strings.Replace(said, old, with, 1), Want: "malformed", Undocumented: true})
	}
	asked := g.write("POST", path+"/media", mia, g.key(), said, "ok")
	other, _ := asked.JSON["media"].(map[string]any)
	otherID := fmt.Sprint(other["media_id"])
	g.put(made, file)
	check := g.key()
	for range 2 {
		g.write("POST", path+"/media/"+id+"/check", mia, check, "", "ok")
	}
	g.write("POST", path+"/media/"+otherID+"/check", mia, check, "", "mismatch")
	g.write("POST", path+"/media/"+noMedia+"/check", mia, g.key(), "", "unknown_media")
	g.awaitMedia(id, "pending")
	g.exerciseMediaReview(product, id, otherID)

	with := func(ids string) string { return strings.Replace(g.content(), "{", `{"media_ids":[`+ids+`],`, 1) }
	version := 2 // the picture was shown
	use := func(body, want string) {
		g.change("PUT", path, mia, g.key(), fmt.Sprintf(`"%d"`, version), body, want)
	}
	use(with(`"`+noMedia+`"`), "unknown_media")
	use(with(`"`+otherID+`"`), "wrong_state")
	use(with(`"`+id+`"`), "ok")
	g.write("POST", "/v1/sellers/"+g.seller+"/products", mia, g.key(), with(`"`+id+`"`), "unknown_media")
	g.everyProduct("UPDATE products__ SET stage = 'listed' WHERE stage = 'draft'")
	shown := g.shoot(shot{Method: "GET", Path: "/v1/products/" + product, Want: "ok"})
	pictures, _ := shown.JSON["media"].([]any)
	if len(pictures) != 1 {
		g.t.Fatalf("shoppers see %s", shown.Body)
	}
	picture, _ := pictures[0].(map[string]any)
	large, _ := picture["large"].(map[string]any)
	g.reads(fmt.Sprint(large["url"]))

	g.everyProduct("UPDATE products__ SET stage = 'draft' WHERE stage = 'listed'")
	g.everyProduct("INSERT INTO product_media__ (media_id, product_id, state, type, bytes, sha256, made_at, moved_at) SELECT seq, product_id, 'asked', 'image/png', 1, '', NOW(3), NOW(3) FROM product_media__, seq_1_to_48 WHERE state = 'shown'")
	g.write("POST", path+"/media", mia, g.key(), said, "too_many")
	g.everyProduct("DELETE FROM product_media__ WHERE media_id <= 48")
	g.everyValue("UPDATE sellers__ SET state = 'suspended' WHERE applicant = 141")
	g.write("POST", path+"/media", mia, g.key(), said, "wrong_state")
	g.write("POST", path+"/media/"+otherID+"/check", mia, g.key(), "", "wrong_state")
	g.everyValue("UPDATE sellers__ SET state = 'open' WHERE applicant = 141")
	g.withoutMedia(func(d *contracttest.Document) {
		d.Shoot(g.t, shot{Method: "POST", Path: path + "/media", Token: mia, Body: said, Want: "no_media"})
		d.Shoot(g.t, shot{Method: "POST", Path: path + "/media/" + otherID + "/check", Token: mia, Want: "no_media"})
	})
	g.document.Saw("askUpload", "no_media")
	g.document.Saw("checkMedia", "no_media")
}

// exerciseMediaReview has staff look at a picture.
func (g *goods) exerciseMediaReview(product, id, asked string) {
	g.t.Helper()
	const yes = `{"approve":true,"reason":"it shows the product"}`
	list := g.shoot(shot{Method: "GET", Path: "/v1/media_reviews", Token: g.support, Want: "ok"})
	if strings.Count(list.Body, id+"/large.jpg?") != 1 || strings.Contains(list.Body, asked) {
		g.t.Errorf("the queue is %s", list.Body)
	}
	g.shoot(shot{Method: "GET", Path: "/v1/media_reviews?cursor=x", Token: g.support, Want: "malformed", Undocumented: true})
	at := "/v1/products/" + product + "/media/"
	g.write("POST", at+id+"/decision", g.token(142, auth.RoleShopper), g.key(), yes, "step_up_required")
	g.write("POST", at+id+"/decision", g.owner, g.key(), yes, "own_seller")
	g.write("POST", at+asked+"/decision", g.support, g.key(), yes, "wrong_state")
	g.write("POST", at+noMedia+"/decision", g.support, g.key(), yes, "unknown_media")
	key := g.key()
	for range 2 {
		g.write("POST", at+id+"/decision", g.support, key, yes, "ok")
	}
	g.write("POST", at+id+"/decision", g.support, key, strings.Replace(yes, "true", "false", 1), "mismatch")
	g.awaitMedia(id, "shown")
}

// put uploads a file as an answer says.
func (g *goods) put(asked contracttest.Answer, file []byte) {
	g.t.Helper()
	upload, _ := asked.JSON["upload"].(map[string]any)
	headers, _ := upload["headers"].(map[string]any)
	r, err := http.NewRequestWithContext(g.t.Context(), fmt.Sprint(upload["method"]), fmt.Sprint(upload["url"]), bytes.NewReader(file))
	if err != nil {
		g.t.Fatal(err)
	}
	for name, value := range headers {
		r.Header.Set(name, fmt.Sprint(value))
	}
	answer, err := g.store.Client().Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	if _ = answer.Body.Close(); answer.StatusCode != http.StatusOK {
		g.t.Fatal(answer.Status)
	}
}

// reads reads a picture as shoppers do.
func (g *goods) reads(url string) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		g.t.Fatal(err)
	}
	answer, err := g.store.Client().Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || http.DetectContentType(body) != "image/jpeg" || answer.Header.Get("Content-Type") != "image/jpeg" {
		g.t.Errorf("%s: %s %s, %v", url, answer.Status, answer.Header.Get("Content-Type"), err)
	}
}

// awaitMedia waits for a state without asking the API, which has a limit.
func (g *goods) awaitMedia(id, state string) {
	g.t.Helper()
	stores := g.databases()
	of, err := ids.Read[ids.Media](id)
	if err != nil {
		g.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		found := 0
		for _, p := range stores.All(shard.Products) {
			err := db.Rows(g.t.Context(), p.In(p.Writer()), func(row *sql.Rows) error { return row.Scan(&found) },
				"SELECT 1 FROM product_media__ WHERE state = ? AND media_id = ?", state, of)
			if err != nil {
				g.t.Fatal(err)
			}
		}
		if found == 1 {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("%s is not %s", id, state)
		}
	}
}

// withoutMedia has a process of the shop that has no store of pictures.
func (g *goods) withoutMedia(do func(*contracttest.Document)) {
	g.t.Helper()
	cfg := g.cfg
	cfg.Media = objects.Config{Region: cfg.Media.Region, Timeout: cfg.Media.Timeout}
	node, err := catalog.Start(g.t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		g.t.Fatal(err)
	}
	do(contracttest.Open(g.t, document, node.Addr(), g.http))
	if err := node.Shutdown(g.t.Context()); err != nil {
		g.t.Error(err)
	}
}
