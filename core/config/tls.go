package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// clientTLS trusts the authorities of a PEM file and nothing else; nil if there is no file.
func clientTLS(caFile string) (*tls.Config, error) {
	if caFile == "" {
		return nil, nil //nolint:nilnil // no TLS is a valid choice, and how both clients take it
	}
	pem, err := readBounded(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read %s: no PEM certificate in it", caFile)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}
