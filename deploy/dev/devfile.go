package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// devFile is dev.json: where everything of the running stack is. Commands, scripts and tests read it.
type devFile struct {
	EdgeURL         string `json:"edge_url"`
	OpsURL          string `json:"ops_url"` // of the edge
	PersisterOpsURL string `json:"persister_ops_url"`
	DevURL          string `json:"dev_url"`
	RedisAddr       string `json:"redis_addr"`    // several, of a cluster, are separated by commas
	MySQLDSN        string `json:"mysql_dsn"`     // the reason why only its owner may read the file
	KafkaBrokers    string `json:"kafka_brokers"` // separated by commas
	TokenKeyFile    string `json:"token_key_file"`
}

func devFilePath(dir string) string { return filepath.Join(dir, "dev.json") }

// writeDevFile puts the file in place whole.
func (s *stack) writeDevFile(context.Context) error {
	text, err := json.MarshalIndent(devFile{
		EdgeURL:         "http://" + s.edge.Addr(),
		OpsURL:          "http://" + s.edge.OpsAddr(),
		PersisterOpsURL: "http://" + s.persister.OpsAddr(),
		DevURL:          "http://" + s.pageAddr,
		RedisAddr:       strings.Join(s.cfg.Redis.Addrs, ","),
		MySQLDSN:        s.cfg.MySQL.DSN.Reveal(),
		KafkaBrokers:    strings.Join(s.cfg.Kafka.Brokers, ","),
		TokenKeyFile:    s.cfg.TokenKeyFile,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode dev.json: %w", err)
	}
	path := devFilePath(s.dir)
	if err := errors.Join(os.WriteFile(path+".new", append(text, '\n'), 0o600), os.Rename(path+".new", path)); err != nil {
		return fmt.Errorf("write dev.json: %w", err)
	}
	s.later("remove dev.json", func() error { return removeDevFile(s.dir) })
	return nil
}

// removeDevFile also removes what a run left that was killed.
func removeDevFile(dir string) error {
	if err := os.Remove(devFilePath(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove dev.json: %w", err)
	}
	return nil
}
