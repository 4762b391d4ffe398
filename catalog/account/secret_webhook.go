package account

import (
	"crypto/sha256"

	"sluice/core/ids"
)

// purposeWebhook is what the address and the secrets of a webhook are sealed for.
const purposeWebhook = "webhook"

// SealWebhook encrypts where events of a seller go, and what signs them. It opens for the same webhook only.
func (s *Secret) SealWebhook(seller ids.Seller, id ids.Webhook, plain []byte) []byte {
	return s.seal(ids.User(seller), purposeWebhook+string(number(id)), plain)
}

// OpenWebhook decrypts it.
func (s *Secret) OpenWebhook(seller ids.Seller, id ids.Webhook, sealed []byte) ([]byte, error) {
	return s.open(ids.User(seller), purposeWebhook+string(number(id)), sealed)
}

// DrawWebhook draws the id of a webhook. A repetition of the request draws the same.
func (s *Secret) DrawWebhook(seller ids.Seller, user ids.User, key string) ids.Webhook {
	return ids.Webhook(sumOf(s.draws, []byte(purposeWebhook), number(seller), number(user), []byte(key)).positive())
}

// DrawWebhookSecret draws the secret of a webhook, of which there were some before. A repetition of the request draws the same.
func (s *Secret) DrawWebhookSecret(seller ids.Seller, id ids.Webhook, before uint32, user ids.User, key string) [sha256.Size]byte {
	return sumOf(s.codes, []byte(purposeWebhook), number(seller), number(id), number(before), number(user), []byte(key))
}
