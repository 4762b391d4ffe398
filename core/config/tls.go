package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// ClientTLS returns a configuration that trusts only the authorities in a PEM file, which a setting names. It returns
// nil if the setting names no file.
func ClientTLS(setting, caFile string) (*tls.Config, error) {
	if caFile == "" {
		return nil, nil // no TLS is a valid choice, and both clients take nil for it
	}
	pem, err := readBounded(setting, caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %s has no PEM certificate in it", setting, caFile)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}
