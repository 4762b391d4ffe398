package notify

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog/internal/webhook"
	"sluice/core/config"
)

// gateway hands letters over to a webhook.
type gateway struct {
	sender  *webhook.Sender
	url     config.Secret // it may have a token in it
	secrets []config.Secret
}

// posted is what the gateway gets.
type posted struct {
	Type      string     `json:"type"`
	Timestamp time.Time  `json:"timestamp"`
	Data      postedData `json:"data"`
}

type postedData struct {
	MessageID string  `json:"message_id"`
	Channel   Channel `json:"channel"`
	Template  string  `json:"template"`
	Locale    string  `json:"locale"`
	To        string  `json:"to"`
	Text      string  `json:"text"`
}

// Send implements Sender. A gateway drops the twin of a letter by its webhook-id.
func (g *gateway) Send(ctx context.Context, l Letter) error {
	now := time.Now().UTC().Truncate(time.Second)
	body, err := json.Marshal(posted{"message.send", now, postedData{l.ID, l.Channel, l.Template, l.Locale, l.To, l.Text}})
	if err != nil {
		return &Failure{Final, "the message cannot be written"}
	}
	err = g.sender.Send(ctx, webhook.Message{URL: g.url.Reveal(), ID: l.ID, At: now, Body: body, Secrets: g.secrets})
	if err == nil {
		return nil
	}
	if errors.Is(err, webhook.ErrGone) {
		return &Failure{Unreachable, "the receiver answered 410"} // its address is one of nobody by now: somebody corrects it
	}
	answered := new(webhook.AnswerError)
	if !errors.As(err, &answered) {
		return noAnswer(err)
	}
	said := answered.Error()
	switch status := answered.Status; {
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		return &Failure{Final, said}
	case status >= 300 && status < 400:
		return &Failure{Unreachable, said + ", and redirects are not followed"}
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		return &Failure{PutOff, said}
	}
	return &Failure{Unreachable, said} // a wrong address or secret, most likely: somebody corrects it
}

// noAnswer is the failure of a request without an answer. Only before there was a connection nobody has the message.
func noAnswer(err error) *Failure {
	var dialing *net.OpError
	switch {
	case errors.Is(err, webhook.ErrAddress):
		return &Failure{Unreachable, "the gateway is in no public network, and in none of --messages-webhook-networks"}
	case errors.As(err, &dialing) && dialing.Op == "dial":
		return &Failure{Unreachable, "there is no connection to the gateway"}
	}
	return &Failure{Unknown, "the gateway did not answer"}
}
