package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sluice/core/local/servicetest"
)

// TestFilesOnAFullDisk: dev.json is whole or not there, a file of tokens too, and a list of wrong lines that is not whole
// says so.
func TestFilesOnAFullDisk(t *testing.T) {
	t.Parallel()
	disk, here := servicetest.SmallDisk(t, 1<<20)
	if !here {
		return
	}
	free := servicetest.Fill(t, disk)
	path := filepath.Join(disk, "dev.json")
	if err := (DevStack{RedisAddr: "a"}).Write(path); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("dev.json: %v", err)
	}
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) > 0 {
		t.Errorf("what is left of dev.json: %q, %v", left, err)
	}
	tokens := filepath.Join(disk, "tokens.txt")
	err := newFile(tokens, func(w io.Writer) error {
		_, err := w.Write(make([]byte, 64<<10))
		return err
	})
	if _, left := os.Stat(tokens); !errors.Is(err, syscall.ENOSPC) || left == nil {
		t.Errorf("tokens: %v, and the file is left: %v", err, left == nil)
	}
	faults := lineFaults{tell: func(error) {}, dir: disk}
	for i := range faultsShown + 10 {
		faults.add(fmt.Errorf("line %d", i))
	}
	name := faults.close()
	if said := faults.summary(name); !strings.Contains(said, "which is not whole") || !strings.Contains(said, syscall.ENOSPC.Error()) {
		t.Errorf("wrong lines: %s", said)
	}
	free()
	if err := (DevStack{RedisAddr: "a"}).Write(path); err != nil {
		t.Errorf("dev.json with room again: %v", err)
	}
	if stack, err := (DevFile{Path: path}).read(); err != nil || stack.RedisAddr != "a" {
		t.Errorf("it reads %+v, %v", stack, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("dev.json has %v, %v", info, err)
	}
}
