package catalog_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"sluice/catalog"
	"sluice/catalog/account/provider/providertest"
	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/local/contracttest"
	"sluice/core/shard"
)

// cell is what a column of a row has.
type cell struct {
	column string
	value  []byte
}

// cells are all that a database has.
func cells(t *testing.T, database *sql.DB) (all []cell) {
	t.Helper()
	for _, table := range tablesOf(t, database) {
		err := db.Rows(t.Context(), database, func(row *sql.Rows) error {
			columns, err := row.Columns()
			if err != nil {
				return err
			}
			values, into := make([][]byte, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			err = row.Scan(into...)
			for i, value := range values {
				all = append(all, cell{table + "." + columns[i], value})
			}
			return err
		}, "SELECT * FROM `"+table+"`")
		if err != nil {
			t.Fatal(table, err)
		}
	}
	return all
}

// thief has a copy of a database, and whatever keys the shop has.
type thief struct {
	t    *testing.T
	copy []cell
	keys map[string]bool // of AES-256
}

// takeSecret takes the secret of accounts and all that follows from it.
func (h *thief) takeSecret(path string) {
	h.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	_, encoded, _ := strings.Cut(strings.TrimSpace(string(text)), ":")
	secret, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || len(secret) != 32 {
		h.t.Fatal(len(secret), err)
	}
	h.keys[string(secret)] = true
	for _, label := range []string{"indexes", "codes", "sessions", "devices", "draws", "keys", "handles", "values", "flows"} {
		key, err := hkdf.Key(sha256.New, secret, nil, "sluice account "+label, 32)
		if err != nil {
			h.t.Fatal(err)
		}
		h.keys[string(key)] = true
	}
}

// takeKeys takes the keys of users in some cells which the key file opens, and returns how many do.
func (h *thief) takeKeys(path string, all []cell) (taken int) {
	h.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	var file struct {
		Wrapping jsontext.Value `json:"wrapping"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		h.t.Fatal(err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(file.Wrapping)))
	if err != nil {
		h.t.Fatal(err)
	}
	wrapping, err := aead.New(handle)
	if err != nil {
		h.t.Fatal(err)
	}
	var subjects []int64
	for _, c := range all {
		var subject int64
		if _, err := fmt.Sscan(string(c.value), &subject); err == nil && c.column == "account_keys.subject_id" {
			subjects = append(subjects, subject)
		}
	}
	for _, c := range all {
		for _, subject := range subjects {
			key, err := wrapping.Decrypt(c.value, binary.BigEndian.AppendUint64([]byte("sluice key\x00account\x00user\x00"), uint64(subject)))
			if err == nil && !h.keys[string(key)] {
				h.keys[string(key)] = true
				taken++
			}
		}
	}
	return taken
}

// reads returns the columns of the copy in which the thief reads a word. Whom a value belongs to is no hindrance: all keys are tried on
// all values, with a nonce at the beginning or behind a form.
func (h *thief) reads(word string) (columns []string) {
	h.t.Helper()
	for key := range h.keys {
		block, err := aes.NewCipher([]byte(key))
		if err != nil {
			h.t.Fatal(err)
		}
		for _, c := range h.copy {
			for _, from := range []int{0, 1, 5} {
				if len(c.value) < from+12 {
					continue
				}
				plain := bytes.Clone(c.value[from+12:])
				cipher.NewCTR(block, append(bytes.Clone(c.value[from:from+12]), 0, 0, 0, 2)).XORKeyStream(plain, plain) // as GCM does
				if bytes.Contains(plain, []byte(word)) {
					columns = append(columns, c.column)
				}
			}
		}
	}
	for _, c := range h.copy {
		if bytes.Contains(c.value, []byte(word)) {
			columns = append(columns, c.column+" in the clear")
		}
	}
	slices.Sort(columns)
	return slices.Compact(columns)
}

// TestCopiesOfErasedUsers plants what is personal of a user in each column that may have it, copies all tables, erases the user, and
// changes the key that wraps. Who has the copy, and all that the shop has then, reads nothing of the user, and all of another one.
func TestCopiesOfErasedUsers(t *testing.T) {
	t.Parallel()
	c := newContract(t, layouts[0])
	const email, kept, phone, next = "quokkapost@example.org", "keptpost@example.org", "+4915117199381", "bandipost@example.org"
	answer := func(code string) string { return fmt.Sprintf(`{"code":%q}`, code) }
	register := func(email string) (me string) {
		asked := c.text(c.write("POST", "/v1/users", "", email, registration(email, goodPassword), "ok"), "challenge_id")
		c.write("POST", "/v1/verifications/"+asked, "", email, answer(c.code(email, "verify_email")), "ok")
		in := fmt.Sprintf(`{"email":%q,"password":%q,"device_name":"Wallaby of %s"}`, email, goodPassword, email[:4])
		return c.text(c.write("POST", "/v1/sessions", "", email, in, "ok"), "access_token")
	}
	me, other := register(email), register(kept)
	user, kepts := c.userOf(me), c.userOf(other)
	c.shoot(shot{Method: "PATCH", Path: "/v1/me/profile", Token: me, Header: http.Header{"Idempotency-Key": {"p"}, "If-Match": {`"1"`}}, Body: `{"display_name":"Quokkanary"}`, Want: "ok"})
	c.write("POST", "/v1/me/addresses", me, "a", `{"recipient":"Wombatty","country":"DE","lines":["x"]}`, "ok")
	// The number, asked for by its user and then by who signs in with it.
	asked := "/v1/me/phone_codes/" + c.text(c.write("POST", "/v1/me/phone_codes", me, "n", newPhone(phone), "ok"), "challenge_id")
	first := c.code(phone, "sign_in_code")
	c.write("POST", asked, me, "n", answer(first), "ok")
	c.write("POST", "/v1/phone_codes", "", "open", byPhone(phone), "ok")
	second := c.codeAfter(phone, "sign_in_code", first)
	asked = "/v1/phone_codes/" + c.text(c.write("POST", "/v1/phone_codes", "", "in", byPhone(phone), "ok"), "challenge_id")
	c.write("POST", asked, "", "in", answer(c.codeAfter(phone, "sign_in_code", second)), "ok")
	potoroo := providertest.Person{ID: "q", Name: "Potoroo"}
	c.write("POST", mineThere, me, "there", c.comesBack(myFlows, me, "", c.outside.plain, potoroo), "ok")
	c.write("POST", byProvider, "", "there", c.comesBack(flows, "", atHome, c.outside.plain, potoroo), "ok")
	begun := c.write("POST", "/v1/me/totp", me, "f", "", "ok")
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(c.text(begun, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	c.write("POST", "/v1/password_resets", "", "r", `{"email":"`+email+`"}`, "ok")
	c.write("POST", "/v1/me/email_codes", me, "e", newEmail(next), "ok")
	c.code(next, "verify_email")
	database := c.databases().At(shard.OfUser(user)).Writer()
	c.counts(database, "(SELECT COUNT(*) FROM notify_tasks)", 0)
	c.withoutMail()
	c.write("PUT", "/v1/me/password", me, "w", fmt.Sprintf(`{"current_password":%q,"password":%q}`, goodPassword, otherPassword), "ok") // tells of it

	// What is planted, and where it is sealed.
	planted := map[string][]string{
		email: {"identities.value", "notify_messages.personal"}, phone: {"identities.value"}, next: {"challenges.value"}, string(secret): {"factors.secret"},
		"Wallaby of quok": {"sign_ins.origin"}, "Potoroo": {"identities.value"}, "Quokkanary": {"account_replays.body", "profiles.sealed"},
		"Wombatty": {"account_replays.body", "addresses.sealed"},
	}
	h := &thief{t: t, copy: cells(t, database), keys: map[string]bool{}}
	h.takeSecret(c.cfg.AccountSecretFile)
	if n := h.takeKeys(c.cfg.Vault.File, h.copy); n != 2 {
		t.Errorf("%d keys of users are taken, want 2", n)
	}
	for word, want := range planted {
		if got := h.reads(word); !slices.Equal(got, want) {
			t.Errorf("before the erasure %q is read in %v, want %v", word, got, want)
		}
	}
	c.write("DELETE", "/v1/me", me, "x", `{"confirm":"erase"}`, "ok")
	c.counts(database, "(SELECT COUNT(*) FROM account_tasks) + (SELECT COUNT(*) FROM notify_tasks)", 0) // nor is one dead
	c.counts(database, fmt.Sprintf("(SELECT COUNT(*) FROM notify_messages WHERE user_id = %d)", user), 0)
	c.changeWrappingKey()

	h.keys = map[string]bool{}
	h.takeSecret(c.cfg.AccountSecretFile)
	if n := h.takeKeys(c.cfg.Vault.File, append(cells(t, database), h.copy...)); n != 1 {
		t.Errorf("%d keys of users are taken after the erasure, want that of user %d", n, kepts)
	}
	for word := range planted {
		if got := h.reads(word); len(got) > 0 {
			t.Errorf("after the erasure %q is read in %v", word, got)
		}
	}
	for word, want := range map[string][]string{kept: {"identities.value"}, "Wallaby of kept": {"sign_ins.origin"}} {
		if got := h.reads(word); !slices.Equal(got, want) {
			t.Errorf("%q of the other user is read in %v, want %v", word, got, want)
		}
	}
}

// counts waits until a query has a number.
func (s *shop) counts(database *sql.DB, query string, want int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	if err := lifecycle.Poll(ctx, 20*time.Millisecond, func() error {
		var n int
		if err := database.QueryRowContext(ctx, "SELECT "+query).Scan(&n); err != nil || n != want {
			return fmt.Errorf("%s is %d, want %d: %v", query, n, want, err) //nolint:errorlint // it may be nil
		}
		return nil
	}, func(error) bool { return false }); err != nil {
		s.t.Fatal(err)
	}
}

// withoutMail has another process take the place of the shop, which reaches no mail server.
func (c *contract) withoutMail() {
	c.t.Helper()
	cfg := c.cfg
	cfg.Messages.SMTP, cfg.Messages.From = "127.0.0.1:1", "shop@example.org"
	node, err := catalog.Start(c.t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	before := c.node
	c.node, c.document = node, contracttest.Open(c.t, document, node.Addr(), c.http)
	c.http.CloseIdleConnections()
	if err := before.Shutdown(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

// changeWrappingKey has another key wrap the keys of users, and drops the one before.
func (s *shop) changeWrappingKey() {
	s.t.Helper()
	ctx, databases := s.t.Context(), s.databases()
	if _, _, err := catalog.RotateVaultKeys(s.cfg.Vault.File, 0); err != nil {
		s.t.Fatal(err)
	}
	v, err := catalog.OpenVault(ctx, s.cfg.Vault, databases, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := v.Rewrap(ctx, func(int64) {}); err != nil {
		s.t.Fatal(err)
	}
	states, err := v.Status(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, key := range states {
		if !key.Droppable {
			continue
		}
		if err := v.Drop(ctx, key.ID); err != nil {
			s.t.Fatal(err)
		}
	}
}
