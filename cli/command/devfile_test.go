package command

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDevFileIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		`{"redis_addr":"a"}`:                           true,
		`{"redis_addr":"a","from_a_newer_version":{}}`: true,
		`{"redis_addr":"a","REDIS_ADDR":"b"}`:          true, // a name that is not known
		`{"redis_addr":"b","redis_addr":"a"}`:          false,
		`{"redis_addr":"a"}{}`:                         false,
		`{"redis_addr":["a"]}`:                         false,
		``:                                             false,
	} {
		path := filepath.Join(t.TempDir(), "dev.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		stack, err := DevFile{Path: path}.read()
		if (err == nil) != ok || ok && stack.RedisAddr != "a" {
			t.Errorf("%s: %+v, %v", text, stack, err)
		}
	}
}
