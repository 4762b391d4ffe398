package dev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/cli/command"
)

func devFilePath(dir string) string { return filepath.Join(dir, "dev.json") }

// writeDevFile puts the file in place whole.
func (s *stack) writeDevFile(context.Context) error {
	text, err := json.Marshal(command.DevStack{
		EdgeURL:         "http://" + s.edge.Addr(),
		OpsURL:          "http://" + s.edge.OpsAddr(),
		PersisterOpsURL: "http://" + s.persister.OpsAddr(),
		DevURL:          "http://" + s.pageAddr,
		RedisAddr:       strings.Join(s.cfg.Redis.Addrs, ","),
		RedisSentinels:  strings.Join(s.cfg.Redis.SentinelAddrs, ","),
		RedisMaster:     s.cfg.Redis.SentinelMaster,
		MySQLDSN:        s.cfg.MySQL.DSN.Reveal(),
		KafkaBrokers:    strings.Join(s.cfg.Kafka.Brokers, ","),
		TokenKeyFile:    s.cfg.TokenKeyFile,
	}, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("encode dev.json: %w", err)
	}
	path := devFilePath(s.dir)
	if err := errors.Join(os.WriteFile(path+".new", append(text, '\n'), 0o600), os.Rename(path+".new", path)); err != nil {
		return fmt.Errorf("write dev.json: %w", err)
	}
	s.parts.Later("remove dev.json", func(context.Context) error {
		if s.lost { // it may be another stack's
			return nil
		}
		return removeDevFile(s.dir)
	})
	return nil
}

// removeDevFile also removes what a run left that was killed.
func removeDevFile(dir string) error {
	if err := os.Remove(devFilePath(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove dev.json: %w", err)
	}
	return nil
}
