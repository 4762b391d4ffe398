package seller

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog/internal/web"
	"sluice/catalog/internal/webhook"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/stock"
)

const (
	webhooksMax   = 10             // of a seller
	secretOverlap = 24 * time.Hour // for which a secret that was rotated signs too
	portMin       = 1024           // of a public address, but for 443

	webhookColumns = "w.webhook_id, w.version, w.state, w.disabled_for, w.types, w.sealed, w.secrets, COALESCE(w.before_ends_at > NOW(3), FALSE), w.before_ends_at, w.failing_since, w.made_at"

	// The row of the member makes sure that owners read their own seller only. One without webhooks has a row of NULLs.
	selectWebhooks = "SELECT me.role, " + webhookColumns + " FROM seller_members__ AS me LEFT JOIN seller_webhooks__ AS w ON w.seller_id = me.seller_id " +
		"WHERE me.seller_id = ? AND me.user_id = ? ORDER BY w.made_at, w.webhook_id LIMIT ?"
	selectWebhookOf = "SELECT me.role, " + webhookColumns + " FROM seller_members__ AS me LEFT JOIN seller_webhooks__ AS w ON w.seller_id = me.seller_id AND w.webhook_id = ? " +
		"WHERE me.seller_id = ? AND me.user_id = ?"
	selectWebhook = "SELECT '', " + webhookColumns + " FROM seller_webhooks__ AS w WHERE w.seller_id = ? AND w.webhook_id = ?"

	countWebhooks = "SELECT COUNT(*) FROM seller_webhooks__ WHERE seller_id = ?"
	insertWebhook = "INSERT INTO seller_webhooks__ (seller_id, webhook_id, types, sealed, made_at) VALUES (?, ?, ?, ?, NOW(3))"
	updateWebhook = "UPDATE seller_webhooks__ SET state = ?, disabled_for = ?, types = ?, sealed = ?, failures = 0, failing_since = NULL, rests_until = NULL, version = version + 1 " +
		"WHERE seller_id = ? AND webhook_id = ?"
	rotateWebhook = "UPDATE seller_webhooks__ SET sealed = ?, secrets = secrets + 1, before_ends_at = NOW(3) + INTERVAL ? SECOND, version = version + 1 WHERE seller_id = ? AND webhook_id = ?"
	deleteWebhook = "DELETE FROM seller_webhooks__ WHERE seller_id = ? AND webhook_id = ?"
)

// The states of a webhook, and why one is disabled.
const (
	webhookActive   = "active"
	webhookDisabled = "disabled"

	disabledByOwner  = "owner"
	disabledFailures = "failures"
	disabledGone     = "gone"
)

const (
	actMakeWebhook    = "make_webhook"
	actChangeWebhook  = "change_webhook"
	actRemoveWebhook  = "remove_webhook"
	actRotateWebhook  = "rotate_webhook"
	actDisableWebhook = "disable_webhook"

	templateWebhook         = "webhook_set"
	templateWebhookDisabled = "webhook_disabled"
)

var (
	unknownWebhook = problem.NewKind(problem.Kind{Code: "unknown_webhook", Status: http.StatusNotFound, Title: "The seller has no such webhook."})

	errNoWebhook = &problem.Problem{Kind: unknownWebhook}
)

// Webhook is an address of a seller's system to which events of the seller go.
type Webhook struct {
	ID           ids.Webhook `json:"webhook_id"`
	State        string      `json:"state"`
	DisabledFor  string      `json:"disabled_for"` // empty while it is active
	Types        []string    `json:"types"`        // of events; none: all
	Version      int64       `json:"version"`
	Secrets      uint32      `json:"secrets"` // how many there were
	BeforeEndsAt time.Time   `json:"before_ends_at"`
	FailingSince time.Time   `json:"failing_since"` // zero: the last attempt succeeded
	MadeAt       time.Time   `json:"made_at"`

	URL string `json:"-"` // answers that are kept do not have it: it may have a token of the receiver

	sealed sealedWebhook
}

// sealedWebhook is what only the shop and the receiver know of a webhook.
type sealedWebhook struct {
	URL    string `json:"url"`
	Secret string `json:"secret"`
	Before string `json:"before,omitzero"` // the secret before that one
}

// secrets are those that sign: the last one, and for a while the one before.
func (w sealedWebhook) secrets(before bool) []config.Secret {
	all := []config.Secret{config.Secret(w.Secret)}
	if before {
		all = append(all, config.Secret(w.Before))
	}
	return all
}

// WebhookWish is what an owner wants a webhook to be.
type WebhookWish struct {
	URL      string
	Types    []string // none: all
	Disabled bool
}

// checkWish refuses what no webhook can be.
func (s *Sellers) checkWish(wish *WebhookWish) *problem.Problem {
	if p := s.checkURL(wish.URL); p != nil {
		return p
	}
	for i, kind := range wish.Types {
		if !slices.Contains(eventTypes, kind) || slices.Contains(wish.Types[:i], kind) {
			return malformed("/types/"+strconv.Itoa(i), "want some of %s, each once", strings.Join(eventTypes, ", "))
		}
	}
	return nil
}

// localNames are the ends of names that no public address has.
var localNames = []string{".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test", ".invalid", ".onion"}

// checkURL refuses addresses to which nothing goes. No name is looked up here: what it stands for is seen when something is sent, each
// time, and an answer here would tell which names there are inside.
func (s *Sellers) checkURL(to string) *problem.Problem {
	if err := s.sender.Check(to); err != nil {
		return malformed("/url", "%v", err)
	}
	u, err := url.Parse(to)
	if err != nil { // the check has parsed it
		return malformed("/url", "want a URL")
	}
	if !s.sender.Public() {
		return nil
	}
	host := "." + strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	port, _ := strconv.Atoi(u.Port())
	switch {
	case !strings.Contains(host, ":") && strings.Count(host, ".") == 1, slices.ContainsFunc(localNames, func(end string) bool { return strings.HasSuffix(host, end) }):
		return malformed("/url", "its host is no public name")
	case port != 0 && port != 443 && port < portMin:
		return malformed("/url", "its port is that of another service: want 443, or %d and more", portMin)
	}
	return nil
}

// secretOf is the secret that a request makes for a webhook that had some before.
func (s *Sellers) secretOf(id ids.Seller, of ids.Webhook, before uint32, by Caller) config.Secret {
	return webhook.SecretOf(s.sealer.DrawWebhookSecret(id, of, before, by.User, by.Key))
}

// MakeWebhook has events of a seller, of which the caller is an owner, sent to an address. A repetition returns the same secret.
func (s *Sellers) MakeWebhook(ctx context.Context, by Caller, id ids.Seller, wish WebhookWish) (config.Secret, Webhook, error) {
	if p := s.checkWish(&wish); p != nil {
		return "", Webhook{}, p
	}
	of := s.sealer.DrawWebhook(id, by.User, by.Key)
	secret := s.secretOf(id, of, 0, by)
	sealed, err := s.sealWebhook(id, of, sealedWebhook{URL: wish.URL, Secret: secret.Reveal()})
	if err != nil {
		return "", Webhook{}, err
	}
	made, err := once(ctx, s, id, by, "make_webhook", wish, func(c *change) (Webhook, error) {
		l, err := c.owned(ctx, id)
		if err == nil {
			err = hires(l.State)
		}
		if err != nil {
			return Webhook{}, err
		}
		var have int
		switch err := c.in.QueryRowContext(ctx, countWebhooks, id).Scan(&have); {
		case err != nil:
			return Webhook{}, db.WriteError("count webhooks", err)
		case have >= webhooksMax:
			return Webhook{}, wrongState("a seller has at most %d webhooks", webhooksMax)
		}
		_, err = c.in.ExecContext(ctx, insertWebhook, id, of, strings.Join(wish.Types, ","), sealed)
		switch {
		case db.Answer(err) == db.AnswerDuplicate: // the answer is not kept any more, and the key has made a webhook
			return Webhook{}, &problem.Problem{Kind: problem.Mismatch}
		case err != nil:
			return Webhook{}, db.WriteError("write a webhook", err)
		}
		if err := c.didWebhook(ctx, id, of, actMakeWebhook, templateWebhook); err != nil {
			return Webhook{}, err
		}
		return c.webhook(ctx, id, of)
	})
	made.URL = wish.URL
	return secret, made, err
}

// didWebhook writes down what was done with a webhook, and has the owners told if there is a template.
func (c *change) didWebhook(ctx context.Context, id ids.Seller, of ids.Webhook, act, template string) error {
	if err := c.did(ctx, id, deed{act: act, object: "webhook:" + of.String()}); err != nil || template == "" {
		return err
	}
	owners, err := c.owners(ctx, id)
	for _, user := range owners {
		if err == nil {
			err = c.notify(ctx, id, user, template)
		}
	}
	return err
}

// ChangeWebhook changes where events go, which do, and whether they do. The caller is an owner. What fails is tried anew.
func (s *Sellers) ChangeWebhook(ctx context.Context, by Caller, id ids.Seller, of ids.Webhook, from web.Version, wish WebhookWish) (Webhook, error) {
	if p := s.checkWish(&wish); p != nil {
		return Webhook{}, p
	}
	asked := struct {
		Of   ids.Webhook
		From web.Version
		To   WebhookWish
	}{of, from, wish}
	now, err := once(ctx, s, id, by, "change_webhook", asked, func(c *change) (Webhook, error) {
		w, err := c.ownedWebhook(ctx, id, of)
		switch {
		case err != nil:
			return Webhook{}, err
		case w.Version != int64(from):
			return Webhook{}, web.ErrChanged
		}
		template := ""
		if w.sealed.URL != wish.URL {
			w.sealed.URL, template = wish.URL, templateWebhook
		}
		sealed, err := s.sealWebhook(id, of, w.sealed)
		if err != nil {
			return Webhook{}, err
		}
		state, why := webhookActive, ""
		if wish.Disabled {
			state, why = webhookDisabled, disabledByOwner
		}
		if _, err := c.in.ExecContext(ctx, updateWebhook, state, why, strings.Join(wish.Types, ","), sealed, id, of); err != nil {
			return Webhook{}, db.WriteError("change a webhook", err)
		}
		if err := c.didWebhook(ctx, id, of, actChangeWebhook, template); err != nil {
			return Webhook{}, err
		}
		return c.webhook(ctx, id, of)
	})
	now.URL = wish.URL
	return now, err
}

// RotateWebhook gives a webhook of a seller, of which the caller is an owner, another secret. The one before signs too for a day.
func (s *Sellers) RotateWebhook(ctx context.Context, by Caller, id ids.Seller, of ids.Webhook) (config.Secret, Webhook, error) {
	now, err := once(ctx, s, id, by, "rotate_webhook", of, func(c *change) (Webhook, error) {
		w, err := c.ownedWebhook(ctx, id, of)
		if err != nil {
			return Webhook{}, err
		}
		w.sealed.Before, w.sealed.Secret = w.sealed.Secret, s.secretOf(id, of, w.Secrets, by).Reveal()
		sealed, err := s.sealWebhook(id, of, w.sealed)
		if err != nil {
			return Webhook{}, err
		}
		if _, err := c.in.ExecContext(ctx, rotateWebhook, sealed, int64(secretOverlap/time.Second), id, of); err != nil {
			return Webhook{}, db.WriteError("rotate the secret of a webhook", err)
		}
		if err := c.didWebhook(ctx, id, of, actRotateWebhook, ""); err != nil {
			return Webhook{}, err
		}
		return c.webhook(ctx, id, of)
	})
	if err != nil {
		return "", Webhook{}, err
	}
	return s.secretOf(id, of, now.Secrets-1, by), now, nil
}

// RemoveWebhook ends a webhook of a seller of which the caller is an owner. What waits is not sent any more.
func (s *Sellers) RemoveWebhook(ctx context.Context, by Caller, id ids.Seller, of ids.Webhook) error {
	_, err := once(ctx, s, id, by, "remove_webhook", of, func(c *change) (Webhook, error) {
		w, err := c.ownedWebhook(ctx, id, of)
		if err != nil {
			return Webhook{}, err
		}
		if _, err := c.in.ExecContext(ctx, deleteWebhook, id, of); err != nil {
			return Webhook{}, db.WriteError("remove a webhook", err)
		}
		return w, c.didWebhook(ctx, id, of, actRemoveWebhook, "")
	})
	return err
}

// ownedWebhook locks a seller of which the caller is an owner, and reads a webhook of it.
func (c *change) ownedWebhook(ctx context.Context, id ids.Seller, of ids.Webhook) (Webhook, error) {
	if _, err := c.owned(ctx, id); err != nil {
		return Webhook{}, err
	}
	return c.webhook(ctx, id, of)
}

// webhook reads a webhook of a locked seller.
func (c *change) webhook(ctx context.Context, id ids.Seller, of ids.Webhook) (Webhook, error) {
	_, w, err := c.s.scanWebhook(id, c.in.QueryRowContext(ctx, selectWebhook, id, of).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return w, errNoWebhook
	case err != nil:
		return w, db.WriteError("read a webhook", err)
	}
	return w, nil
}

// Webhooks lists the webhooks of a seller, for its owners.
func (s *Sellers) Webhooks(ctx context.Context, user ids.User, id ids.Seller) (all []Webhook, err error) {
	p, mine := s.at(id), ""
	err = db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		role, w, err := s.scanWebhook(id, row.Scan)
		if mine = role; w.ID != 0 {
			all = append(all, w)
		}
		return err
	}, selectWebhooks, id, user, webhooksMax)
	if err != nil {
		return nil, readError(p, err)
	}
	return all, mayOwn(mine)
}

// Webhook shows a webhook of a seller, for its owners.
func (s *Sellers) Webhook(ctx context.Context, user ids.User, id ids.Seller, of ids.Webhook) (Webhook, error) {
	p := s.at(id)
	role, w, err := s.scanWebhook(id, p.In(p.Writer()).QueryRowContext(ctx, selectWebhookOf, of, id, user).Scan)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Webhook{}, readError(p, err)
	}
	if err := mayOwn(role); err != nil {
		return Webhook{}, err
	}
	if w.ID == 0 {
		return Webhook{}, errNoWebhook
	}
	return w, nil
}

// mayOwn refuses who has a role other than that of an owner.
func mayOwn(role string) error {
	switch role {
	case roleOwner:
		return nil
	case "":
		return errUnknown
	}
	return errForbidden
}

// scanWebhook reads a row of a webhook. Its id is 0 if there is none beside the role.
func (s *Sellers) scanWebhook(id ids.Seller, scan func(...any) error) (role string, w Webhook, err error) {
	var of sql.Null[ids.Webhook]
	var version, secrets sql.NullInt64
	var state, why, types sql.NullString
	var sealed []byte
	var overlaps bool
	var before, failing, made sql.NullTime
	if err := scan(&role, &of, &version, &state, &why, &types, &sealed, &secrets, &overlaps, &before, &failing, &made); err != nil || !of.Valid {
		return role, Webhook{}, err
	}
	w.ID, w.Version, w.State, w.DisabledFor, w.Secrets = of.V, version.Int64, state.String, why.String, uint32(secrets.Int64)
	w.FailingSince, w.MadeAt = failing.Time, made.Time
	if overlaps {
		w.BeforeEndsAt = before.Time
	}
	w.Types = kindsOf(types.String)
	w.sealed, err = s.openWebhook(id, w.ID, sealed)
	w.URL = w.sealed.URL
	return role, w, err
}

// kindsOf are the types of a list in a column.
func kindsOf(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func (s *Sellers) openWebhook(id ids.Seller, of ids.Webhook, sealed []byte) (w sealedWebhook, err error) {
	plain, err := s.sealer.OpenWebhook(id, of, sealed)
	if err != nil {
		return w, fmt.Errorf("webhook %s: %w", of, err)
	}
	if json.Unmarshal(plain, &w) != nil { // its error may quote
		return w, fmt.Errorf("webhook %s: its address and secrets cannot be read", of)
	}
	return w, nil
}

func (s *Sellers) sealWebhook(id ids.Seller, of ids.Webhook, what sealedWebhook) ([]byte, error) {
	plain, err := json.Marshal(what)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	return s.sealer.SealWebhook(id, of, plain), nil
}
