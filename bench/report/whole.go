package report

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// WriteWhole puts the whole of a file in place, or nothing. It writes into what is no file, such as a pipe or /dev/null, and into
// what somebody has opened for this process, such as /dev/stdout: that may be a file too, and others may write to it.
func WriteWhole(path string, write func(io.Writer) error) error {
	place, err := placeOf(path)
	if err == nil {
		err = place.write(write)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// CanWrite reports why WriteWhole could not write, and leaves nothing behind.
func CanWrite(path string) error {
	place, err := placeOf(path)
	if err == nil {
		err = place.writable()
	}
	if at := new(fs.PathError); err != nil && !errors.As(err, &at) {
		err = &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return err
}

// place is where a path leads.
type place struct {
	path    string
	kind    placeKind
	channel int // the descriptor, if it is open
}

type placeKind int

const (
	aFile    placeKind = iota // or nothing yet: it is replaced
	aDevice                   // or a pipe: it is opened and written into
	aChannel                  // a descriptor of this process: it is written to from where it stands
)

func (p *place) write(write func(io.Writer) error) error {
	switch p.kind {
	case aDevice, aChannel:
		to, err := p.open()
		if err != nil {
			return err
		}
		return errors.Join(write(to), to.Close())
	case aFile:
	}
	fresh, err := p.fresh()
	if err != nil {
		return err
	}
	err = errors.Join(write(fresh), fresh.Chmod(0o644), fresh.Close())
	if err == nil {
		err = os.Rename(fresh.Name(), p.path)
	}
	if err != nil {
		_ = os.Remove(fresh.Name()) // whatever was written of it
	}
	return err
}

// fresh makes a file beside the one that it replaces later.
func (p *place) fresh() (*os.File, error) {
	return os.CreateTemp(filepath.Dir(p.path), filepath.Base(p.path)+".*")
}

// open opens what is written into. A descriptor of its own is closed without closing the other.
func (p *place) open() (*os.File, error) {
	if p.kind == aDevice {
		return os.OpenFile(p.path, os.O_WRONLY, 0)
	}
	channel, err := syscall.Dup(p.channel)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(channel)
	return os.NewFile(uintptr(channel), p.path), nil
}

const accessWrite = 2 // W_OK

func (p *place) writable() error {
	switch p.kind {
	case aDevice: // to open a pipe would wait for its reader
		return syscall.Access(p.path, accessWrite)
	case aChannel:
		to, err := p.open()
		if err != nil {
			return err
		}
		_, err = to.Write(nil)
		return errors.Join(err, to.Close())
	case aFile:
	}
	fresh, err := p.fresh()
	if err != nil {
		return err
	}
	return errors.Join(fresh.Close(), os.Remove(fresh.Name()))
}

// placeOf follows links.
func placeOf(path string) (*place, error) {
	if channel, ok := channelOf(path); ok {
		return &place{path: path, kind: aChannel, channel: channel}, nil
	}
	to := path
	if at, err := filepath.EvalSymlinks(path); err == nil {
		to = at
	}
	info, err := os.Stat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &place{path: to}, nil
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, &fs.PathError{Op: "write", Path: path, Err: syscall.EISDIR}
	case info.Mode().IsRegular():
		return &place{path: to}, nil
	}
	return &place{path: to, kind: aDevice}, nil
}

const (
	linksMax    = 40 // as Linux follows them
	channelsDir = "/proc/self/fd"
)

// channelOf returns the descriptor of this process that a path leads to: as /proc/self/fd/1, /dev/fd/1 or /dev/stdout. Behind
// such a link is what was opened, and its name may be that of something else by now.
func channelOf(path string) (channel int, ok bool) {
	ours, err := filepath.EvalSymlinks(channelsDir)
	if err != nil {
		return 0, false
	}
	for range linksMax {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return 0, false
		}
		if dir == ours {
			channel, err := strconv.Atoi(filepath.Base(path))
			return channel, err == nil
		}
		to, err := os.Readlink(filepath.Join(dir, filepath.Base(path)))
		if err != nil {
			return 0, false
		}
		if path = to; !filepath.IsAbs(to) {
			path = filepath.Join(dir, to)
		}
	}
	return 0, false
}
