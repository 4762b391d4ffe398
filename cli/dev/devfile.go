package dev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sluice/cli/command"
)

func devFilePath(dir string) string { return filepath.Join(dir, "dev.json") }

func (s *stack) writeDevFile(context.Context) error {
	err := command.DevStack{
		EdgeURL:         "http://" + s.edge.Addr(),
		OpsURL:          "http://" + s.edge.OpsAddr(),
		PersisterOpsURL: "http://" + s.persister.OpsAddr(),
		CatalogURL:      "http://" + s.catalog.Addr(),
		CatalogOpsURL:   "http://" + s.catalog.OpsAddr(),
		DevURL:          "http://" + s.pageAddr,
		RedisAddr:       strings.Join(s.cfg.Redis.Addrs, ","),
		RedisSentinels:  strings.Join(s.cfg.Redis.SentinelAddrs, ","),
		RedisMaster:     s.cfg.Redis.SentinelMaster,
		MySQLDSN:        s.cfg.MySQL.DSN.Reveal(),
		KafkaBrokers:    strings.Join(s.cfg.Kafka.Brokers, ","),
		TokenKeyFile:    s.cfg.TokenKeyFile,
	}.Write(devFilePath(s.dir))
	if err != nil {
		return err
	}
	s.parts.Later("remove dev.json", func(context.Context) error {
		if s.lost { // the file may belong to another stack
			return nil
		}
		return removeDevFile(s.dir)
	})
	return nil
}

// removeDevFile removes the file, and the temporary files of killed runs.
func removeDevFile(dir string) error {
	if err := os.Remove(devFilePath(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove dev.json: %w", err)
	}
	return nil
}
