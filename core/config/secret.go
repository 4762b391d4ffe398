package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"slices"

	"sluice/core/text"
)

// secretBytesMax is far above any password, key or DSN, and far below a file named by mistake.
const secretBytesMax = 64 << 10

// Secret is a text that is never shown: every way of formatting it gives asterisks.
type Secret string

const hidden = "******"

// Reveal is the secret itself, for the one call that needs it.
func (s Secret) Reveal() string { return string(s) }

// Format implements fmt.Formatter, for every verb.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		_, _ = io.WriteString(f, hidden) // as fmt itself: a failing writer is noticed by who owns it
	}
}

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (s Secret) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// LoadSecrets sets every field of type Secret in the struct that target points to, and in the structs
// nested in it, from the environment variable of its env tag. Kong must not know these fields
// (kong:"-"): it would give them flags.
func LoadSecrets(target any, lookup func(string) (string, bool)) {
	loadSecrets(reflect.ValueOf(target).Elem(), lookup)
}

func loadSecrets(value reflect.Value, lookup func(string) (string, bool)) {
	for i := range value.NumField() {
		field := value.Field(i)
		switch {
		case field.Kind() == reflect.Struct && value.Type().Field(i).Anonymous: // its fields count, whatever its own name
			loadSecrets(field, lookup)
		case !field.CanSet():
		case field.Type() == reflect.TypeFor[Secret]():
			if text, ok := lookup(value.Type().Field(i).Tag.Get("env")); ok {
				field.SetString(text)
			}
		case field.Kind() == reflect.Struct:
			loadSecrets(field, lookup)
		}
	}
}

// FromFile is the secret itself if it is set, else what the file that a setting names holds, without the
// line end that editors add. Both empty is no secret.
func (s Secret) FromFile(setting, path string) (Secret, error) {
	if s != "" || path == "" {
		return s, nil
	}
	text, err := readBounded(setting, path)
	if err != nil {
		return "", err
	}
	return Secret(bytes.TrimRight(text, "\r\n")), nil
}

func readBounded(setting, path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, text.OfFile(err))
	}
	held, err := io.ReadAll(io.LimitReader(file, secretBytesMax+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", setting, text.OfFile(err))
	}
	if len(held) > secretBytesMax {
		return nil, fmt.Errorf("%s: %s has more than %d bytes", setting, path, secretBytesMax)
	}
	return held, nil
}

// OpenFile is a secret file that everybody on the machine can read or exchange.
type OpenFile struct {
	Path string
	Mode os.FileMode
}

// String says what is wrong.
func (f OpenFile) String() string {
	return fmt.Sprintf("%s is open to everybody on this machine (%v)", f.Path, f.Mode)
}

// Do says what to do about it.
func (f OpenFile) Do() string {
	return fmt.Sprintf("chmod 600 %s, and replace the secret in it", f.Path)
}

// Exposed names the secret files among the settings of target, a struct or a pointer to one, that everybody on the
// machine can read or exchange. Their fields have the tag private. A group whose files name further ones has these from
// its method PrivateFiles.
func Exposed(target reflect.Value) (files []OpenFile) {
	target = reflect.Indirect(target)
	if target.CanInterface() {
		if group, ok := target.Interface().(interface{ PrivateFiles() []string }); ok {
			for _, path := range group.PrivateFiles() {
				files = append(files, exposed(path)...)
			}
		}
	}
	for i := range target.NumField() {
		field := target.Field(i)
		if field.Kind() == reflect.Struct {
			for _, file := range Exposed(field) {
				if !slices.Contains(files, file) { // an embedded group's method is the outer one's too
					files = append(files, file)
				}
			}
			continue
		}
		if _, private := target.Type().Field(i).Tag.Lookup("private"); !private {
			continue
		}
		files = append(files, exposed(field.String())...)
	}
	return files
}

func exposed(path string) []OpenFile {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o007 == 0 {
		return nil
	}
	return []OpenFile{{path, info.Mode().Perm()}}
}

// ReadOnce reports whether a file can be read only once, such as a pipe or a shell's <(...). If Validate read it, it
// would be empty for the caller who needs it.
func ReadOnce(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}
