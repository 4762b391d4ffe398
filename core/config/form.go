package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Form is the text of a JSON file that an operator writes by hand. What is wrong with it is told with its line.
type Form []byte

// ReadForm reads a file, and of one that has more than so many bytes one more: Into refuses it.
func ReadForm(path string, bytesMax int) (Form, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	held, err := io.ReadAll(io.LimitReader(file, int64(bytesMax)+1))
	return held, errors.Join(err, file.Close())
}

// Into decodes the form, and refuses members that nobody knows.
func (f Form) Into(to any, bytesMax int) error {
	if len(f) > bytesMax {
		return fmt.Errorf("it has more than %d bytes", bytesMax)
	}
	return f.explain(json.Unmarshal(f, to, json.RejectUnknownMembers(true)))
}

// explain puts an error of the decoder into words: where, and what. The decoder's own text has Go's names of types.
func (f Form) explain(err error) error {
	var syntax *jsontext.SyntacticError
	var meaning *json.SemanticError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: %w", f.line(syntax.ByteOffset), syntax.Err)
	case errors.As(err, &meaning):
		where := fmt.Sprintf("line %d: %s", f.line(meaning.ByteOffset), strconv.Quote(string(meaning.JSONPointer)))
		if errors.Is(err, json.ErrUnknownName) {
			return fmt.Errorf("%s: there is no such member", where)
		}
		return fmt.Errorf("%s: want another kind of value", where)
	}
	return err
}

func (f Form) line(offset int64) int {
	return 1 + bytes.Count(f[:min(offset, int64(len(f)))], []byte("\n"))
}

// LineBehind is the line in which the value begins that comes behind an offset: a decoder stands there before it reads the value.
func (f Form) LineBehind(offset int64) int {
	return f.line(int64(len(f) - len(bytes.TrimLeft(f[offset:], " \t\r\n,"))))
}

// Beside is the path of a file that another one names.
func Beside(path, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(path), name)
}
