package objects

import (
	"cmp"
	_ "embed"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"sluice/core/config"
)

// Config says where media are. Without an endpoint there are none.
type Config struct {
	Endpoint string        `name:"media-endpoint" env:"SLUICE_MEDIA_ENDPOINT" group:"Media" placeholder:"URL"`
	Bucket   string        `name:"media-bucket" env:"SLUICE_MEDIA_BUCKET" group:"Media" placeholder:"NAME"`
	Region   string        `name:"media-region" env:"SLUICE_MEDIA_REGION" group:"Media" default:"us-east-1"`
	URL      string        `name:"media-url" env:"SLUICE_MEDIA_URL" group:"Media" placeholder:"URL"`
	Key      config.Secret `kong:"-" env:"SLUICE_MEDIA_KEY" group:"Media" help:"Key of the store of media, as ID:SECRET."`
	KeyFile  string        `name:"media-key-file" private:"" env:"SLUICE_MEDIA_KEY_FILE" group:"Media" placeholder:"PATH"`
	Timeout  time.Duration `name:"media-timeout" env:"SLUICE_MEDIA_TIMEOUT" group:"Media" default:"10s"`
}

// timeoutMax is less than the time of a task, which reads one object and writes two.
const timeoutMax = 15 * time.Second

var (
	bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	regionForm = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
)

// Validate joins all faults of the group, those of the file that it names included.
func (c Config) Validate() error {
	var f config.Faults
	config.Between(&f, "media-timeout", c.Timeout, 100*time.Millisecond, timeoutMax)
	if c.Endpoint == "" {
		for setting, value := range map[string]string{"media-bucket": c.Bucket, "media-url": c.URL, "media-key-file": cmp.Or(c.KeyFile, c.Key.Reveal())} {
			if value != "" {
				f.Missing("media-endpoint", "the address of the store, because --"+setting+" is given")
				break
			}
		}
		return f.Err()
	}
	if _, err := address("media-endpoint", c.Endpoint); err != nil {
		f.Include(err)
	}
	if _, err := address("media-url", c.URL); err != nil {
		f.Include(err)
	}
	if !bucketForm.MatchString(c.Bucket) {
		f.Add("media-bucket", fmt.Sprintf("%q", c.Bucket), "the name of a bucket, such as shop-media")
	}
	if !regionForm.MatchString(c.Region) {
		f.Add("media-region", fmt.Sprintf("%q", c.Region), "a region such as eu-central-1")
	}
	if !config.ReadOnce(c.KeyFile) {
		_, err := c.key()
		f.Include(err)
	}
	return f.Err()
}

// address reads one of a server, without anything that a signature or a page could not have.
func address(setting, text string) (*url.URL, error) {
	at, err := url.Parse(text)
	if err != nil || at.Scheme != "https" && at.Scheme != "http" || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
		return nil, fmt.Errorf("%s: want an address such as https://media.example", setting)
	}
	return at, nil
}

func (c Config) key() (config.Secret, error) {
	key, err := c.Key.FromFile("media-key-file", c.KeyFile)
	if err != nil {
		return "", err
	}
	if _, ok := keysOf(key); !ok {
		return "", fmt.Errorf("media-key-file: want a file (or SLUICE_MEDIA_KEY) with the key of the store as ID:SECRET")
	}
	return key, nil
}

// cutKeys divides ID:SECRET.
func cutKeys(text string) (id, secret string, ok bool) {
	id, secret, ok = strings.Cut(text, ":")
	return id, secret, ok && id != "" && secret != "" && !strings.ContainsAny(text, " \r\n\t")
}

// Open makes the store, or none without an endpoint. The caller closes it. Nothing is sent.
func (c Config) Open(now func() time.Time) (*Store, error) {
	if c.Endpoint == "" {
		return nil, nil //nolint:nilnil // a shop without media is in order
	}
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	endpoint, err := address("media-endpoint", c.Endpoint)
	if err != nil {
		return nil, err
	}
	public, err := address("media-url", c.URL)
	if err != nil {
		return nil, err
	}
	keys, _ := keysOf(key)
	client := &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
		Timeout:       c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Store{bucket: endpoint.JoinPath(c.Bucket), public: public, region: c.Region, keys: keys, signer: v4.NewSigner(), client: client, now: now}, nil
}

//go:embed settings.txt
var settings string

var texts = config.ParseTexts(settings)

// Texts are those of the group.
func (Config) Texts() config.Texts { return texts }
