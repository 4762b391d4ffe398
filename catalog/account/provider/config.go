package provider

import (
	_ "embed"
	"net/netip"
	"time"

	"sluice/catalog/internal/reach"
	"sluice/core/config"
)

// Config names the providers by whom people sign in.
type Config struct {
	File     string        `name:"sign-in-providers-file" env:"SLUICE_SIGN_IN_PROVIDERS_FILE" group:"Catalog" placeholder:"PATH"`
	Networks []string      `name:"sign-in-providers-networks" env:"SLUICE_SIGN_IN_PROVIDERS_NETWORKS" group:"Catalog" placeholder:"CIDR"`
	Timeout  time.Duration `name:"sign-in-providers-timeout" env:"SLUICE_SIGN_IN_PROVIDERS_TIMEOUT" group:"Catalog" default:"3s"`
}

// TimeoutMax is what a provider takes at most.
const TimeoutMax = 30 * time.Second

// Validate joins all faults of the group, those of its files included.
func (c Config) Validate() error {
	var f config.Faults
	config.Between(&f, "sign-in-providers-timeout", c.Timeout, 100*time.Millisecond, TimeoutMax)
	networks, err := c.networks()
	f.Include(err)
	if err == nil && !config.ReadOnce(c.File) {
		client := c.client(networks)
		defer client.Close()
		_, err := load(c.File, client)
		f.Include(err)
	}
	return f.Err()
}

// AtOnce is how many requests wait for all providers together at most. A file with faults has none, nor has one that is read once only.
func (c Config) AtOnce() (all int) {
	networks, err := c.networks()
	if err != nil || config.ReadOnce(c.File) {
		return 0
	}
	client := c.client(networks)
	defer client.Close()
	forms, _ := load(c.File, client) // Validate says what is wrong
	for i := range forms {
		all += forms[i].AtOnce
	}
	return all
}

func (c Config) networks() ([]netip.Prefix, error) {
	return reach.Networks("sign-in-providers-networks", c.Networks)
}

// PrivateFiles are the files of secrets that the file names.
func (c Config) PrivateFiles() []string { return secretFiles(c.File) }

//go:embed settings.txt
var settings string

var texts = config.ParseTexts(settings)

// Texts are those of the group.
func (Config) Texts() config.Texts { return texts }
