package catalog_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/catalog"
	"sluice/catalog/account/provider/providertest"
	"sluice/core/kafka"
	"sluice/core/lifecycle"
	"sluice/core/local/servicetest"
	"sluice/core/shard"
)

// planted are unlikely words, one for each member of a body that may have something personal, by its name. Members of
// several operations that have one name are planted once.
var planted = map[string]string{
	"email": "bettong-post@example.org", "password": "bettong wears a long password", "device_name": "Bandicoot-Telephone", "phone": "+4915155500431",
	"display_name": "Phascogale", "birthday": "1923-11-17", "recipient": "Dunnart-Recipient", "lines": "Kowarigasse", "postcode": "KULTARR9", "divisions": "XQ-KALUTA",
	"legal_name": "Thylacine Trading", "licence_no": "LIC-NUMBAT-77", "text": "Ningauistrasse 3", "key": "applications/mulgara.pdf",
	"url": "https://mulyaroo.example/hooks",
}

// notPersonal are the other members that are texts of any form, and why nothing personal belongs into them.
var notPersonal = map[string]string{
	"region": "one of a few words", "locale": "a language", "country": "a country", "text_version": "of a text of the shop", "confirm": "a constant",
	"reason": "of support, for the audit log, which docs/audit.md says", "name": "of what is sold, or of a system of a seller", "user_id": "a number", "parent_id": "a number", "unit": "of a measure", "types": "of events", "sha256": "of a document",
	"scopes": "words of the program", "code": "it counts once", "current_password": "as password is handled", "device_token": "planted as the shop gives it",
	"refresh_token": "planted as the shop gives it", "flow_token": "planted as the shop gives it", "state": "planted as the shop gives it, or a word of the program", "iss": "of a provider",
	"category_id": "a number", "cart_token": "planted as the shop gives it", "sku_id": "a number", "market": "a word", "currency": "a word", "opens_at": "a time", "closes_at": "a time", "description": "of what is sold", "options": "words of ops", "tax_category": "a word", "stage": "one of a few words", "title": "of what is sold", "media_ids": "numbers", "type": "of a file",
	"warehouse_id": "a number", "source": "a word", "on": "a date",
	"gender": "one of a few words", "purpose": "one of a few words", "role": "one of a few words", "kind": "one of a few words",
}

// TestEveryTextIsPlanted says of each text that anybody may send whether it may be personal: of a new one, somebody has to.
func TestEveryTextIsPlanted(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var visit func(operation, name string, s *openapi3.Schema)
	visit = func(operation, name string, s *openapi3.Schema) {
		if s.Type.Is("string") && planted[name] == "" && notPersonal[name] == "" {
			t.Errorf("%s: is %s personal? Plant it, or say why not", operation, name)
		}
		for member, of := range s.Properties {
			visit(operation, member, of.Value)
		}
		if s.Items != nil {
			visit(operation, name, s.Items.Value)
		}
	}
	for _, item := range doc.Paths.Map() {
		for _, o := range item.Operations() {
			if o.RequestBody != nil {
				visit(o.OperationID, "", o.RequestBody.Value.Content.Get("application/json").Schema.Value)
			}
		}
	}
}

// headers are what clients send beside what is asked of them.
var headers = http.Header{
	"User-Agent": {"Antechinus/7"}, "Referer": {"https://shop.example/?q=Planigale"}, "Cookie": {"session=Quendacookie"}, "X-Forwarded-For": {"Pademelon, 203.0.113.77, Potoroo-hop"},
	"X-Forwarded-Host": {"Wambenger.example"}, "Accept-Language": {"x-Chuditch"}, "From": {"woylie@example.org"}, "Traceparent": {"Mardo"}, "X-Request-Id": {"Monjon"},
}

// hunted is a shop with real Kafka, and a user who has words everywhere.
type hunted struct {
	*contract
	words   []string
	me      string
	answers bytes.Buffer // to refused requests
	keys    int

	seller, invitation string // ids
}

// do sends a request as the user, with all headers. A refusal is searched later on.
func (h *hunted) do(method, path, body string, want int) map[string]any {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, "http://"+h.node.Addr()+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	for name, values := range headers {
		r.Header[name] = values
	}
	h.keys++
	key := fmt.Sprint("Yallara-key-", h.keys)
	r.Header.Set("Idempotency-Key", key)
	r.Header.Set("If-Match", `"1"`)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if h.me != "" {
		r.Header.Set("Authorization", "Bearer "+h.me)
	}
	resp, err := h.http.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		h.t.Fatalf("%s %s: %d %s %v, want %d", method, path, resp.StatusCode, text, err, want)
	}
	if resp.StatusCode >= 400 {
		fmt.Fprintf(&h.answers, "%s\n", text)
	}
	members := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &members); err != nil {
			h.t.Fatal(err)
		}
	}
	for _, name := range []string{"refresh_token", "device_token", "access_token", "flow_token", "key", "cart_token", "share_token"} { // what the shop gives is as secret
		if given, ok := members[name].(string); ok {
			h.words = append(h.words, given)
		}
	}
	return members
}

func (h *hunted) challenge(path, body, to, template string) (of, code string) {
	h.t.Helper()
	asked := h.do("POST", path, body, http.StatusAccepted)
	code = h.code(to, template)
	return fmt.Sprint(asked["challenge_id"]), code
}

// plant goes through all operations that take something personal.
func (h *hunted) plant() {
	h.t.Helper()
	p := planted
	sprint := fmt.Sprintf
	of, code := h.challenge("/v1/users", registration(p["email"], p["password"]), p["email"], "verify_email")
	h.do("POST", "/v1/verifications/"+of, sprint(`{"code":%q}`, code), http.StatusCreated)
	in := h.do("POST", "/v1/sessions", sprint(`{"email":%q,"password":%q,"device_name":%q}`, p["email"], p["password"], p["device_name"]), http.StatusCreated)
	h.do("POST", "/v1/sessions", signIn(p["email"], "Tjoongari guesses"), http.StatusForbidden)
	h.do("POST", "/v1/tokens", sprint(`{"refresh_token":%q}`, in["refresh_token"]), http.StatusOK)
	h.me = fmt.Sprint(in["access_token"])
	of, code = h.challenge("/v1/me/phone_codes", newPhone(p["phone"]), p["phone"], "sign_in_code")
	h.do("POST", "/v1/me/phone_codes/"+of, sprint(`{"code":%q}`, code), http.StatusOK)
	of, code = h.challenge("/v1/me/email_codes", newEmail("woylie-post@example.net"), "woylie-post@example.net", "verify_email")
	h.do("POST", "/v1/me/email_codes/"+of, sprint(`{"code":%q}`, code), http.StatusOK)
	h.do("POST", "/v1/me/consents", `{"purpose":"optional_profile","given":true,"text_version":"1"}`, http.StatusCreated)
	h.do("PATCH", "/v1/me/profile", sprint(`{"display_name":%q,"birthday":%q}`, p["display_name"], p["birthday"]), http.StatusOK)
	address := sprint(`{"recipient":%q,"country":"DE","divisions":[%q],"lines":[%q],"postcode":%q,"phone":%q}`, p["recipient"], p["divisions"], p["lines"], p["postcode"], p["phone"])
	h.do("POST", "/v1/me/addresses", address, http.StatusCreated)
	h.do("POST", "/v1/me/totp", "", http.StatusCreated)

	kaluta := providertest.Person{ID: "Wuhl-wuhl-there", Name: "Kaluta Label", Email: "kaluta@example.org", Verified: true}
	for name, at := range map[string]there{"plain": h.outside.plain, "open": h.outside.open} {
		path := "/v1/me/providers/" + name
		begun := h.do("POST", path+"/flows", "", http.StatusCreated)
		back := at.SignIn(fmt.Sprint(begun["authorize_url"]), kaluta)
		body := sprint(`{"flow_token":%q,"code":%q,"state":%q}`, begun["flow_token"], back.Code, back.State)
		h.words = append(h.words, back.Code, back.State)
		h.do("POST", path+"/identities", strings.Replace(body, back.Code, "Mala-Code", 1), http.StatusForbidden)
		h.outside.plain.Fail(http.StatusTeapot)
		if name == "plain" {
			h.do("POST", path+"/identities", body, http.StatusBadGateway)
		}
		h.outside.plain.Fail(0)
		h.do("POST", path+"/identities", body, http.StatusOK)
	}

	seller := h.do("POST", "/v1/sellers", sprint(`{"legal_name":%q,"licence_no":%q,"address":{"country":"DE","text":%q},"documents":[{"kind":"licence","key":%q,`+
		`"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}`, p["legal_name"], p["licence_no"], p["text"], p["key"]), http.StatusCreated)
	h.everyValue("UPDATE sellers__ SET state = 'open'")
	h.seller = fmt.Sprint(seller["seller_id"])
	path := "/v1/sellers/" + h.seller
	h.invitation = fmt.Sprint(h.do("POST", path+"/invitations", inviting("mala-invited@example.org", "member"), http.StatusCreated)["invitation_id"])
	invitation := h.found("mala-invited@example.org", "invitation", "", invitationForm)
	h.words = append(h.words, invitation)
	h.do("POST", "/v1/me/sellers", accepting(invitation), http.StatusForbidden)
	h.do("POST", path+"/api_keys", keyFor("seller:read"), http.StatusCreated)
	hook := h.do("POST", path+"/webhooks", sprint(`{"url":%q,"types":["seller_moved"]}`, p["url"]), http.StatusCreated) // it does not move
	h.words = append(h.words, fmt.Sprint(hook["secret"]))

	h.plantCarts()
	h.do("GET", "/v1/me/addresses?Boodie=Burramys&cursor=x", "", http.StatusBadRequest)
	h.do("GET", "/v1/me/addresses?cursor=Burramys", "", http.StatusBadRequest)
	h.do("GET", "/v1/me/addresses/Tammar", "", http.StatusBadRequest)
	h.do("GET", "/Quokkapath", "", http.StatusNotFound)
	h.do("POST", "/v1/me/step_up", `{"password":"Tjoongari guesses"}`, http.StatusForbidden)
	h.do("POST", "/v1/me/addresses", strings.Replace(address, `"DE"`, `"QQ"`, 1), http.StatusBadRequest)
	h.do("POST", "/v1/me/addresses", strings.Replace(address, `"country"`, `"Gilbertii"`, 1), http.StatusBadRequest)
	h.do("POST", "/v1/me/addresses", address[:len(address)-3], http.StatusBadRequest)
	me := h.me
	h.me = "Quenda-token"
	h.do("GET", "/v1/me", "", http.StatusUnauthorized)
	h.me = me
	for _, word := range planted {
		h.words = append(h.words, word)
	}
	h.words = append(h.words, "woylie-post@example.net", "Tjoongari", "Wuhl-wuhl-there", "Kaluta Label", "kaluta@example.org", "Mala-Code", "mala-invited@example.org", "Yallara-key", "Burramys", "Tammar",
		"Quokkapath", "Quenda-token", "Antechinus", "Planigale", "Quendacookie", "Pademelon", "Potoroo-hop", "Wambenger", "Chuditch", "woylie@example.org", "Mardo", "Monjon")
}

// refusingMail is a mail server that repeats whom a letter is for, and takes none.
func refusingMail(t *testing.T) (address string) {
	t.Helper()
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return refusal{}, nil }))
	server.ErrorLog = silentLog{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	return listener.Addr().String()
}

type refusal struct{}

func (refusal) Reset()                               {}
func (refusal) Logout() error                        { return nil }
func (refusal) Mail(string, *smtp.MailOptions) error { return nil }
func (refusal) Data(io.Reader) error                 { return nil }
func (refusal) Rcpt(to string, _ *smtp.RcptOptions) error {
	return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "the mailbox of " + to + " is busy"}
}

type silentLog struct{}

func (silentLog) Printf(string, ...any) {}
func (silentLog) Println(...any)        {}

// TestCanariesOfEveryOperation plants a word in all that is personal, in what clients send without being asked, and keeps what is secret.
// Tasks with it die. Then all are searched for in the topics of the shop, in its tables, log, metrics, profiles and refusals, and again
// once the user is erased.
func TestCanariesOfEveryOperation(t *testing.T) {
	t.Parallel()
	h := newHunted(t)
	database := h.databases().At(shard.OfUser(1)).Writer()
	h.plant()
	data := text(t, h.do("GET", "/v1/me/data", "", http.StatusOK))
	for _, name := range []string{"phone", "display_name", "birthday", "recipient", "lines", "postcode", "divisions"} {
		if !strings.Contains(data, planted[name]) {
			t.Errorf("%s was planted nowhere: %s", name, data)
		}
	}
	h.published(database)
	// From here on no message goes out. Those that are on their way die, and so does what cannot be read any more.
	h.sendsBy(refusingMail(t))
	t.Cleanup(h.end)
	h.do("POST", "/v1/password_resets", `{"email":"woylie-post@example.net"}`, http.StatusAccepted)
	h.everywhere("UPDATE notify_tasks__ SET attempts = 999, due_at = NOW(3) WHERE kind = 'send_email'")
	h.everyValue("UPDATE seller_invitations__ SET personal = REVERSE(personal)")
	h.everyValue("INSERT INTO seller_tasks__ (kind, name, data, due_at, attempts, made_at) " +
		"SELECT 'send_invitation', 'again', CONCAT('{\"seller_id\":\"', '" + h.seller + "', '\",\"invitation_id\":\"', '" + h.invitation + "', '\"}'), NOW(3), 11, NOW(3)")
	h.published(database)
	h.hunt(database, "before")
	h.checkAnswers()
	h.do("DELETE", "/v1/me", `{"confirm":"erase"}`, http.StatusNoContent)
	h.published(database)
	h.hunt(database, "after")
}

// checkAnswers searches refusals: who was refused is told of their own names of members, and of nothing else.
func (h *hunted) checkAnswers() {
	h.t.Helper()
	words := slices.DeleteFunc(slices.Clone(h.words), func(word string) bool { return word == "Boodie" || word == "Gilbertii" })
	lookFor(h.t, "before", words)("a refusal", h.answers.Bytes())
}

func newHunted(t *testing.T) *hunted {
	t.Helper()
	h := &hunted{contract: &contract{shop: newShop(t)}}
	h.cfg.Kafka = kafka.Cluster{Brokers: servicetest.PrivateKafka(t).Addrs, Partitions: 1, Replication: 1}
	if err := catalog.CreateTopics(t.Context(), h.cfg.Kafka); err != nil {
		t.Fatal(err)
	}
	h.cfg.Messages.Inbox = true
	h.cfg.Messages.PerRecipient, h.cfg.Messages.PerAddress = 100, 100
	h.cfg.TrustedProxies = []string{"127.0.0.0/8"}
	h.outside = h.withProviders()
	h.t.Cleanup(h.http.CloseIdleConnections)
	h.begin()
	return h
}

// begin starts the shop, whose log is the one of before.
func (h *hunted) begin() {
	h.t.Helper()
	node, err := catalog.Start(h.t.Context(), h.cfg, slog.New(slog.NewTextHandler(&h.logs, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		h.t.Fatal(err)
	}
	h.node = node
}

func (h *hunted) end() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.t.Context()), 20*time.Second)
	defer cancel()
	if err := h.node.Shutdown(ctx); err != nil {
		h.t.Error(err)
	}
}

// sendsBy begins the shop anew, with another channel of e-mail.
func (h *hunted) sendsBy(server string) {
	h.t.Helper()
	h.end()
	h.cfg.Messages.Inbox = false
	h.cfg.Messages.SMTP, h.cfg.Messages.SMTPTLS, h.cfg.Messages.From = server, "none", "Shop <shop@shop.example>"
	h.begin()
}

// until waits until a statement counts nothing.
func (h *hunted) until(database *sql.DB, statement string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	err := lifecycle.Poll(ctx, 20*time.Millisecond, func() error {
		var n int
		if err := database.QueryRowContext(ctx, statement).Scan(&n); err != nil || n > 0 {
			return fmt.Errorf("%s: %d, %v", statement, n, err) //nolint:errorlint // it may be nil
		}
		return nil
	}, func(error) bool { return false })
	if err != nil {
		h.t.Fatal(err)
	}
}

// published waits until Kafka has all events, and no task is under way.
func (h *hunted) published(database *sql.DB) {
	h.t.Helper()
	h.until(database, "SELECT (SELECT COUNT(*) FROM account_outbox) + (SELECT COUNT(*) FROM seller_outbox)")
	for _, owner := range []string{"account", "seller", "notify"} {
		h.until(database, "SELECT COUNT(*) FROM "+owner+"_tasks WHERE state = 'waiting'")
	}
}

// records has all that the topics of the shop have: an event for each version of each aggregate.
func (h *hunted) records(database *sql.DB) (all []byte) {
	h.t.Helper()
	var events, n int
	if err := database.QueryRowContext(h.t.Context(), "SELECT (SELECT SUM(version) FROM account_versions) + (SELECT SUM(version) FROM seller_versions)").Scan(&events); err != nil {
		h.t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(h.cfg.Kafka.Brokers...), kgo.ConsumeTopics(catalog.Topics()...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		h.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	for n < events {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			h.t.Fatalf("%d of %d events are in the topics", n, events)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			n++
			all = slices.Concat(all, r.Key, r.Value, []byte("\n"))
			for _, header := range r.Headers {
				all = slices.Concat(all, []byte(header.Key), header.Value, []byte("\n"))
			}
		})
	}
	return all
}

// hunt searches for all words where none of them may be.
func (h *hunted) hunt(database *sql.DB, when string) {
	h.t.Helper()
	search(h.t, h.shop, database, when, h.words)
	look := lookFor(h.t, when, h.words)
	look("a topic", h.records(database))
	for _, page := range []string{
		"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1", "/debug/pprof/block?debug=1",
		"/debug/pprof/mutex?debug=1", "/debug/pprof/threadcreate?debug=1", "/debug/pprof/heap", "/debug/pprof/trace?seconds=0.1", "/readyz?verbose", "/livez", "/messages",
	} {
		status, text := h.get(page)
		if status != http.StatusOK && page != "/messages" { // there is no inbox any more
			h.t.Errorf("%s: %d", page, status)
		}
		look(page, []byte(text))
	}
	dead, err := catalog.DeadTasks(h.t.Context(), h.databases(), catalog.TaskID{}, 100)
	if err != nil || len(dead) != 2 {
		h.t.Errorf("%s: %d dead tasks, %v", when, len(dead), err)
	}
	look("a dead task", []byte(fmt.Sprintf("%+v", dead)))
}
