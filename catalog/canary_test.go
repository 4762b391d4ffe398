package catalog_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/lifecycle"
	"sluice/core/shard"
)

// canaries are unlikely words, one for each personal field.
var canaries = []string{"Quokkanary", "1931-07-23", "Wombatty-Recipient", "Numbatgasse", "Bilby-Hinterhaus", "QUOLL71", "+4917199381", "XQ-ECHIDN", "quokkapost@"}

// TestCanaries plants an unlikely word in each personal field, and looks for all of them in all tables, in the files of MariaDB,
// in the log and in the metrics: before the user is erased, when they are there as ciphertext only, and after.
func TestCanaries(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.Messages.Inbox = true
	s.start()
	ask := func(token, method, path, body, match string, want int) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.node.Addr()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Authorization": token, "Idempotency-Key": method + path + match + fmt.Sprint(len(body)), "If-Match": match} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		resp, err := s.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			t.Fatalf("%s %s: %d %s, want %d", method, path, resp.StatusCode, text, want)
		}
		return string(text)
	}
	member := func(text, name string) string {
		t.Helper()
		members := map[string]any{}
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(members[name])
	}
	const email = "quokkapost@example.org"
	asked := member(ask("", "POST", "/v1/users", registration(email, goodPassword), "", 202), "challenge_id")
	made := ask("", "POST", "/v1/verifications/"+asked, fmt.Sprintf(`{"code":%q}`, s.code(email, "verify_email")), "", 201)
	user, err := strconv.ParseInt(member(made, "user_id"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	me := "Bearer " + member(ask("", "POST", "/v1/sessions", signIn(email, goodPassword), "", 201), "access_token")
	ask("", "POST", "/v1/password_resets", `{"email":"`+email+`"}`, "", 202)
	ask("", "POST", "/v1/users", registration(email, otherPassword+" too"), "", 202) // by somebody else
	ask(me, "POST", "/v1/me/consents", `{"purpose":"optional_profile","given":true,"text_version":"1"}`, "", 201)
	ask(me, "PATCH", "/v1/me/profile", `{"display_name":"Quokkanary","birthday":"1931-07-23","gender":"other"}`, `"1"`, 200)
	address := `{"recipient":"Wombatty-Recipient","country":"DE","divisions":["XQ-ECHIDN"],"lines":["Numbatgasse","Bilby-Hinterhaus"],"postcode":"QUOLL71","phone":"+4917199381"}`
	ask(me, "POST", "/v1/me/addresses", address, "", 201)
	// What is refused is written down nowhere either.
	ask(me, "POST", "/v1/me/addresses", strings.Replace(address, `"DE"`, `"QQ"`, 1), "", 400)
	ask(me, "PATCH", "/v1/me/profile", `{"display_name":"Quokkanary"}`, `"9"`, 412)
	ask(me, "PATCH", "/v1/me/profile", `{"Quokkanary":"Quokkanary"}`, `"2"`, 400)
	mine := ask(me, "GET", "/v1/me/data", "", "", 200)
	for _, canary := range canaries {
		if !strings.Contains(mine, canary) {
			t.Errorf("%s was planted nowhere: %s", canary, mine)
		}
	}
	database := s.databases().At(shard.OfUser(user)).Writer()
	keys := wrappedKeys(t, database)
	if len(keys) == 0 {
		t.Fatal("there is no key of a user")
	}
	search(t, s, database, "before", canaries)
	ask(me, "DELETE", "/v1/me", `{"confirm":"erase"}`, "", 204)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = lifecycle.Poll(ctx, 20*time.Millisecond, func() error { // until the task has run
		var left int
		if err := database.QueryRowContext(t.Context(), "SELECT (SELECT COUNT(*) FROM claims) + (SELECT COUNT(*) FROM account_tasks) + (SELECT COUNT(*) FROM notify_tasks)").Scan(&left); err != nil || left > 0 {
			return fmt.Errorf("%d rows are left: %v", left, err) //nolint:errorlint // it may be nil
		}
		return nil
	}, func(error) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	search(t, s, database, "after", append(keys, canaries...))
	if after := wrappedKeys(t, database); len(after) != 0 {
		t.Errorf("%d keys are left", len(after))
	}
	var events string
	if err := database.QueryRowContext(t.Context(), "SELECT GROUP_CONCAT(CONCAT(topic, ' ', aggregate_id, ' ', type, ' ', data) ORDER BY id) FROM account_outbox").Scan(&events); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(events, fmt.Sprintf(`sluice.users.v1 %d user_erased {"state":"erased"}`, user)) {
		t.Errorf("told: %s", events)
	}
}

// wrappedKeys are the wrapped keys of users.
func wrappedKeys(t *testing.T, database *sql.DB) (keys []string) {
	t.Helper()
	rows, err := database.QueryContext(t.Context(), "SELECT wrapped FROM account_keys WHERE wrapped IS NOT NULL")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return keys
}

// lookFor searches a text for words, also encoded.
func lookFor(t *testing.T, when string, words []string) func(where string, text []byte) {
	t.Helper()
	var all []string
	for _, word := range words {
		all = append(all, word, hex.EncodeToString([]byte(word)), base64.StdEncoding.EncodeToString([]byte(word))[:len(word)/3*4])
	}
	return func(where string, text []byte) {
		t.Helper()
		for _, word := range all {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s the erasure, %s has %q", when, where, word)
			}
		}
	}
}

// search looks for words where they must not be.
func search(t *testing.T, s *shop, database *sql.DB, when string, words []string) {
	t.Helper()
	look := lookFor(t, when, words)
	tables, bytesSeen := tablesOf(t, database), 0
	for _, table := range tables {
		text := dump(t, database, table)
		bytesSeen += len(text)
		look("table "+table, text)
	}
	if len(tables) < 8 || bytesSeen < 500 {
		t.Errorf("only %d tables with %d bytes were searched", len(tables), bytesSeen)
	}
	look("the log", []byte(s.logs.String()))
	_, metrics := s.get("/metrics")
	look("the metrics", []byte(metrics))
	if when == "before" { // wrapped keys stay for a while in the logs of the server
		searchFiles(t, database, look)
	}
}

// searchFiles looks into the files of the server, after it has written all pages of the database.
func searchFiles(t *testing.T, database *sql.DB, look func(string, []byte)) {
	t.Helper()
	conn, err := database.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var dir, name string
	if err := conn.QueryRowContext(t.Context(), "SELECT @@datadir, DATABASE()").Scan(&dir, &name); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "FLUSH TABLES "+strings.Join(tablesOf(t, database), ", ")+" FOR EXPORT"); err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, root := range []string{filepath.Join(dir, name), filepath.Join(dir, "ib_logfile0"), filepath.Join(dir, "ibdata1")} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			look("the file "+filepath.Base(path), text)
			files++
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if _, err := conn.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Errorf("only %d files were searched", files)
	}
}

func tablesOf(t *testing.T, database *sql.DB) (tables []string) {
	t.Helper()
	rows, err := database.QueryContext(t.Context(), "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, table)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return tables
}

// dump is all that a table has.
func dump(t *testing.T, database *sql.DB, table string) []byte {
	t.Helper()
	rows, err := database.QueryContext(t.Context(), "SELECT * FROM `"+table+"`")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for rows.Next() {
		cells := make([]sql.RawBytes, len(columns))
		into := make([]any, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for _, cell := range cells {
			text.Write(cell)
			text.WriteByte('\n')
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}
