package provider

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/catalog/internal/reach"
)

// members are those of a JSON object.
type members map[string]jsontext.Value

// text is a member that is a text or a number, as it is written. Another one, and one that is missing, is empty.
func (m members) text(name string) string {
	value := m[name]
	if value.Kind() == jsontext.KindNumber {
		return string(value)
	}
	var held string
	if value.Kind() != jsontext.KindString || json.Unmarshal(value, &held) != nil {
		return ""
	}
	return held
}

// true reports whether a member is true, also as a text: some providers write it so.
func (m members) true(name string) bool {
	return m[name].Kind() == jsontext.KindTrue || m.text(name) == "true"
}

// get asks for an object.
func get(ctx context.Context, client *reach.Client, from, bearer string) (members, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, http.NoBody)
	if err != nil {
		return nil, fail(ErrBroken, "it has an address that makes no request")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	held, status, err := ask(client, r)
	if err == nil && status != http.StatusOK {
		err = fail(ErrBroken, "it answered %d", status)
	}
	return held, err
}

// post sends a form.
func post(ctx context.Context, client *reach.Client, to string, form url.Values) (members, int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, 0, fail(ErrBroken, "it has an address that makes no request")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return ask(client, r)
}

// ask makes a request, and reads the object that answers it, whatever its status. Who answers that it cannot is unavailable.
func ask(client *reach.Client, r *http.Request) (members, int, error) {
	r.Header.Set("Accept", "application/json")
	answer, err := client.HTTP.Do(r)
	if err != nil {
		return nil, 0, unanswered(err)
	}
	held, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close() // all is read, or is of no use
	switch status := answer.StatusCode; {
	case errors.Is(err, reach.ErrTooLarge):
		return nil, status, fail(ErrBroken, "its answer has more than %d bytes", answerBytesMax)
	case err != nil:
		return nil, status, unanswered(err)
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		return nil, status, fail(ErrUnavailable, "it answered %d", status)
	case status >= 300 && status < 400:
		return nil, status, fail(ErrBroken, "it answered %d, and redirects are not followed", status)
	}
	var of members
	if err := json.Unmarshal(held, &of); err != nil || of == nil {
		return nil, answer.StatusCode, fail(ErrBroken, "it answered %d with what is no JSON object", answer.StatusCode)
	}
	return of, answer.StatusCode, nil
}

// unanswered is the failure of a request without an answer.
func unanswered(err error) error {
	if errors.Is(err, reach.ErrAddress) {
		return fail(ErrBroken, "its address is in no public network, and in none of --sign-in-providers-networks")
	}
	return fail(ErrUnavailable, "%v", reach.Bare(err))
}
