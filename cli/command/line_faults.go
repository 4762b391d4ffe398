package command

import (
	"bufio"
	"errors"
	"fmt"
	"os"
)

const (
	faultsShown        = 20       // wrong lines that are reported as they come
	faultFileBytesMax  = 64 << 20 // bytes of the file with all others
	faultFileBufferMax = 64 << 10
)

// lineFaults reports wrong lines: the first ones at once, all others in a file.
type lineFaults struct {
	tell func(error) // reports one line
	dir  string      // directory of the file; empty: the system's directory of temporary files

	count   int64
	file    *os.File // nil until it is needed
	buffer  *bufio.Writer
	written int64
	err     error // the reason why the file is not complete
}

func (f *lineFaults) add(fault error) {
	f.count++
	if f.count <= faultsShown {
		f.tell(fault)
		return
	}
	if f.count == faultsShown+1 {
		if f.file, f.err = os.CreateTemp(f.dir, "sluice-wrong-lines-*.txt"); f.err == nil {
			f.buffer = bufio.NewWriterSize(f.file, faultFileBufferMax)
		}
	}
	if f.err != nil {
		return
	}
	n, err := fmt.Fprintln(f.buffer, fault)
	f.written += int64(n)
	if f.err = err; err == nil && f.written > faultFileBytesMax {
		f.err = fmt.Errorf("it would have more than %d MiB", faultFileBytesMax>>20)
	}
}

// close ends the file, and returns its name. The name is empty if there was no need for a file, or none could be
// made.
func (f *lineFaults) close() (path string) {
	if f.file == nil {
		return ""
	}
	f.err = errors.Join(f.err, f.buffer.Flush(), f.file.Close())
	return f.file.Name()
}

// summary says where to find the lines that were not reported; empty if there are none.
func (f *lineFaults) summary(path string) string {
	rest := number(f.count - faultsShown)
	switch {
	case f.count <= faultsShown:
		return ""
	case path == "":
		return fmt.Sprintf("%s more lines are not loaded; no file could be made for them: %v", rest, f.err)
	case f.err != nil:
		return fmt.Sprintf("%s more lines are not loaded; the first of them are in %s, which is not whole: %v", rest, path, f.err)
	}
	return fmt.Sprintf("%s more lines are not loaded; all of them are in %s", rest, path)
}
