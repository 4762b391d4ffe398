package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/auth"
)

// exportForm is the form of exports. A newer one has another number.
const exportForm = 1

// signedManifest is the purpose of the signatures of manifests.
const signedManifest = "audit-export"

// lineBytesMax is above the longest line of an export but for its manifest.
const lineBytesMax = 64 << 10

// Manifest is the last line of an export: a file without it was cut off.
type Manifest struct {
	Form    int       `json:"form"`
	MadeAt  time.Time `json:"made_at"`
	Entries int64     `json:"entries"`
	SHA256  string    `json:"sha256"` // of all lines before
	Heads   []Head    `json:"heads"`
}

// manifestLine is a manifest as a line.
type manifestLine struct {
	Manifest Manifest `json:"manifest"`
	Signed   string   `json:"signed,omitempty"` // the same, signed; without a key there is none
}

// Export writes all entries as JSON lines, chain by chain, and a manifest behind them. With keys it is signed.
func (r *Reader) Export(ctx context.Context, to io.Writer, keys *auth.Keys, at time.Time, progress func(entries int64)) (Manifest, error) {
	m := Manifest{Form: exportForm, MadeAt: at.UTC().Truncate(time.Millisecond), Heads: []Head{}}
	sum := sha256.New()
	out := bufio.NewWriterSize(to, 1<<16)
	both := io.MultiWriter(out, sum)
	err := r.Walk(ctx, func(end Head) error {
		m.Heads = append(m.Heads, end)
		return nil
	}, func(e *Entry) error {
		line, err := json.Marshal(e)
		if err == nil {
			_, err = both.Write(append(line, '\n'))
		}
		if m.Entries++; m.Entries%pageRows == 0 {
			progress(m.Entries)
		}
		return err
	})
	if err != nil {
		return m, fmt.Errorf("export: %w", err)
	}
	m.SHA256 = hex.EncodeToString(sum.Sum(nil))
	last := manifestLine{Manifest: m}
	payload, err := json.Marshal(m)
	if err == nil && keys != nil {
		last.Signed, err = keys.Sign(signedManifest, payload)
	}
	var line []byte
	if err == nil {
		line, err = json.Marshal(last)
	}
	if err == nil {
		_, err = out.Write(append(line, '\n'))
	}
	if err = errors.Join(err, out.Flush()); err != nil {
		return m, fmt.Errorf("export: %w", err)
	}
	return m, nil
}

// ErrExport means that a file is no whole export: it was changed, cut off, or is something else.
var ErrExport = errors.New("it is no whole export of the audit log")

// Exported is what the manifest of an export says, and whether one of the keys has signed it.
type Exported struct {
	Manifest
	Signed bool
}

// VerifyExport reads an export, and lets a checker see its entries. It keeps one line in memory. With keys, what is signed must be
// signed by one of them: whoever wants a signature looks whether there is one, because anybody can take it off.
func VerifyExport(ctx context.Context, from io.Reader, keys *auth.Keys, c *Checker, progress func()) (done Exported, err error) {
	in := bufio.NewReaderSize(from, 1<<16)
	sum := sha256.New()
	for entries := int64(0); ; entries++ {
		line, err := readLine(in, lineBytesMax)
		if err != nil {
			return done, fmt.Errorf("%w: line %d: %w", ErrExport, entries+1, err)
		}
		if bytes.HasPrefix(line, []byte(`{"manifest":`)) {
			return exported(line, keys, in, entries, hex.EncodeToString(sum.Sum(nil)), c)
		}
		var e Entry
		if err := json.Unmarshal(line, &e, json.RejectUnknownMembers(true)); err != nil {
			return done, fmt.Errorf("%w: line %d: %w", ErrExport, entries+1, err)
		}
		_, _ = sum.Write(append(line, '\n')) // it never fails
		c.Entry(&e)
		if entries%pageRows == 0 {
			progress()
			if err := ctx.Err(); err != nil {
				return done, err
			}
		}
	}
}

// exported compares an export with its manifest.
func exported(line []byte, keys *auth.Keys, rest *bufio.Reader, entries int64, sum string, c *Checker) (done Exported, err error) {
	var m manifestLine
	if err := json.Unmarshal(line, &m, json.RejectUnknownMembers(true)); err != nil {
		return done, fmt.Errorf("%w: its manifest: %w", ErrExport, err)
	}
	done.Manifest = m.Manifest
	if _, err := rest.ReadByte(); !errors.Is(err, io.EOF) {
		return done, fmt.Errorf("%w: something is behind its manifest", ErrExport)
	}
	switch {
	case m.Manifest.Form != exportForm:
		return done, fmt.Errorf("%w: it has the form %d, and this program knows %d", ErrExport, m.Manifest.Form, exportForm)
	case m.Manifest.Entries != entries || m.Manifest.SHA256 != sum:
		return done, fmt.Errorf("%w: it has %d entries and the SHA-256 %s, and its manifest says %d and %.64s", ErrExport, entries, sum,
			m.Manifest.Entries, m.Manifest.SHA256)
	}
	if keys != nil && m.Signed != "" {
		payload, err := keys.Signed(signedManifest, m.Signed)
		var signed Manifest
		if err == nil {
			err = json.Unmarshal(payload, &signed)
		}
		if err == nil && (signed.SHA256 != sum || signed.Entries != entries) {
			err = errors.New("what is signed is another manifest")
		}
		if err != nil {
			return done, fmt.Errorf("%w: %w", ErrExport, err)
		}
		done.Signed = true
	}
	c.End()
	return done, nil
}

// readLine reads a line without its end. A manifest may be longer than others.
func readLine(in *bufio.Reader, bytesMax int) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > bytesMax && (!bytes.HasPrefix(line, []byte(`{"manifest":`)) || len(line) > 2*checkpointBytesMax) {
			return nil, fmt.Errorf("it has more than %d bytes", bytesMax)
		}
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return nil, errors.New("it was cut off")
		default:
			return nil, err
		}
	}
}
