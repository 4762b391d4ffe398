package seller

import (
	_ "embed"
	"net/netip"
	"time"

	"sluice/catalog/internal/reach"
	"sluice/catalog/internal/webhook"
	"sluice/core/config"
)

// Webhooks says where events of sellers may go.
type Webhooks struct {
	Networks []string      `name:"seller-webhook-networks" env:"SLUICE_SELLER_WEBHOOK_NETWORKS" group:"Catalog" placeholder:"CIDR"`
	Timeout  time.Duration `name:"seller-webhook-timeout" env:"SLUICE_SELLER_WEBHOOK_TIMEOUT" group:"Catalog" default:"10s"`
}

// timeoutMax is less than the time of the task that sends.
const timeoutMax = 30 * time.Second

// Validate joins all faults of the group.
func (c Webhooks) Validate() error {
	var f config.Faults
	config.Between(&f, "seller-webhook-timeout", c.Timeout, 100*time.Millisecond, timeoutMax)
	_, err := c.networks()
	f.Include(err)
	return f.Err()
}

func (c Webhooks) networks() ([]netip.Prefix, error) {
	return reach.Networks("seller-webhook-networks", c.Networks)
}

// Open makes what sends. The caller closes it.
func (c Webhooks) Open() (*webhook.Sender, error) {
	networks, err := c.networks()
	if err != nil {
		return nil, err
	}
	return webhook.NewSender(webhook.Config{Networks: networks, Timeout: c.Timeout}), nil
}

//go:embed settings.txt
var settings string

var texts = config.ParseTexts(settings)

// Texts are those of the group.
func (Webhooks) Texts() config.Texts { return texts }
