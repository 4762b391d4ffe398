package dev_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/local/servicetest"
)

// TestStartOnAFullDisk says so at once, and does not advise to remove data that only want room.
func TestStartOnAFullDisk(t *testing.T) {
	disk, here := servicetest.SmallDisk(t, 100<<20)
	if !here {
		return
	}
	run := func() string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		c := newCommand(filepath.Join(disk, "stack"))
		c.Install = false
		err := c.Run(ctx, &command.Console{Out: io.Discard, Err: io.Discard}, slog.New(slog.DiscardHandler))
		if err == nil || ctx.Err() != nil {
			t.Fatalf("the run ends: %v, %v", err, ctx.Err())
		}
		if text := err.Error(); !strings.Contains(text, "MiB are free in "+c.Dir) || !strings.Contains(text, "--dir") || strings.Contains(text, "Removing") {
			t.Errorf("it says %q", text)
		}
		return err.Error()
	}
	if said := run(); !strings.Contains(said, "need 256 MiB") {
		t.Errorf("without data it says %q", said)
	}
	if err := os.MkdirAll(filepath.Join(disk, "stack", "mariadb", "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	servicetest.Fill(t, disk)
	if said := run(); !strings.Contains(said, ": 0 MiB are free") || !strings.Contains(said, "need 64 MiB") {
		t.Errorf("with data of an earlier run it says %q", said)
	}
}

// TestDiskBecomesFull under a stack, which says so and what to do, and goes on by itself once there is room.
func TestDiskBecomesFull(t *testing.T) {
	disk, here := servicetest.SmallDisk(t, 400<<20)
	if !here {
		return
	}
	dir := filepath.Join(disk, "stack")
	r := start(t, newCommand(dir))
	if len(r.curls) != 3 {
		t.Fatalf("the run ends: %v", <-r.ended)
	}
	says := func(what string) {
		t.Helper()
		giveUp := time.After(10 * time.Second)
		for !strings.Contains(r.notes.String(), what) {
			select {
			case <-giveUp:
				t.Fatalf("it says %q, not %q", r.notes.String(), what)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	free := servicetest.Fill(t, disk)
	says("the disk is too full: 0 MiB are free in " + dir)
	free()
	says("there is room in " + dir + " again")
	var answer struct{ State string }
	giveUp := time.After(time.Minute)
	for answer.State != "confirmed" {
		shell(t, r.curls[0], &answer)
		if answer.State == "held" {
			shell(t, r.curls[1], &answer)
		}
		select {
		case <-giveUp:
			t.Fatalf("with room again the purchase is %q", answer.State)
		case <-time.After(100 * time.Millisecond):
		}
	}
	if s := shown(t, r.curls[2]); s.Redis.Sold != 1 {
		t.Errorf("stock is %+v", s)
	}
	if n := strings.Count(r.notes.String(), "too full"); n != 1 {
		t.Errorf("told %d times: %s", n, r.notes.String())
	}
	r.stop(t)
}

// TestDiskIsFullWhenAServerEnds kills a server of a stack whose disk is full: the reason that its log cannot tell is named.
func TestDiskIsFullWhenAServerEnds(t *testing.T) {
	disk, here := servicetest.SmallDisk(t, 400<<20)
	if !here {
		return
	}
	dir := filepath.Join(disk, "stack")
	r := start(t, newCommand(dir))
	if len(r.curls) != 3 {
		t.Fatalf("the run ends: %v", <-r.ended)
	}
	free := servicetest.Fill(t, disk)
	if err := end(dir, "redis"); err != nil {
		t.Fatal(err)
	}
	err := <-r.ended
	if err == nil || !strings.Contains(err.Error(), "redis has ended") || !strings.Contains(err.Error(), "0 MiB are free in "+dir) {
		t.Errorf("the run ends: %v", err)
	}
	free()
	again := start(t, newCommand(dir))
	if len(again.curls) != 3 {
		t.Fatalf("the next run ends: %v", <-again.ended)
	}
	again.stop(t)
	if _, err := os.Stat(filepath.Join(dir, "dev.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("dev.json is left: %v", err)
	}
}
