package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/place"
	"sluice/core/text"
)

// signedCheckpoint is the purpose of the signatures of checkpoints: what is signed for another one is none.
const signedCheckpoint = "audit-checkpoint"

// checkpointBytesMax is far above a checkpoint of all chains.
const checkpointBytesMax = 16 << 20

// Checkpoint says where chains ended at a time. Signed, and kept where nobody who can write the database can write, it shows
// that a chain was cut off or written anew.
type Checkpoint struct {
	At    time.Time `json:"at"`
	Heads []Head    `json:"heads"` // of the chains that have grown since the checkpoint before
}

// Sign is a checkpoint as a line of a file.
func (p *Checkpoint) Sign(keys *auth.Keys) (string, error) {
	payload, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("write checkpoint: %w", err)
	}
	return keys.Sign(signedCheckpoint, payload)
}

// ErrCheckpoint means that a line is no checkpoint that one of the keys has signed.
var ErrCheckpoint = errors.New("it is no checkpoint of the audit log that one of the keys has signed")

// ReadCheckpoints reads lines of checkpoints, and calls mark for each head in them. A line that is no checkpoint is counted, and
// the first of them is the reason why.
func ReadCheckpoints(from io.Reader, keys *auth.Keys, mark func(Head)) (bad int, why, err error) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, checkpointBytesMax)
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		payload, err := keys.Signed(signedCheckpoint, lines.Text())
		var p Checkpoint
		if err == nil {
			err = json.Unmarshal(payload, &p)
		}
		if err != nil {
			if bad++; bad == 1 {
				why = fmt.Errorf("line %d: %w: %w", n, ErrCheckpoint, err)
			}
			continue
		}
		for _, h := range p.Heads {
			mark(h)
		}
	}
	if err := lines.Err(); err != nil {
		return bad, why, fmt.Errorf("read checkpoints: %w", err)
	}
	return bad, why, nil
}

// Checkpoints writes checkpoints to a file, now and then.
type Checkpoints struct {
	reader *Reader
	keys   *auth.Keys
	file   string
	every  time.Duration
	log    *slog.Logger
	now    func() time.Time
	last   map[Chain]Head
}

// NewCheckpoints makes one that writes to a file, which it makes if it is missing. Each process has a file of its own.
func NewCheckpoints(reader *Reader, keys *auth.Keys, file string, every time.Duration, log *slog.Logger) *Checkpoints {
	return &Checkpoints{reader: reader, keys: keys, file: file, every: every, log: log, now: time.Now, last: map[Chain]Head{}}
}

// Run writes checkpoints until ctx ends.
func (c *Checkpoints) Run(ctx context.Context) {
	lifecycle.Repeat(ctx, c.log, "write a checkpoint of the audit log to "+c.file, c.every, c.Write)
}

// ErrRewritten means that a chain does not go on from the last checkpoint of it.
var ErrRewritten = errors.New("the audit log was cut off or written anew: run sluice audit verify")

// Write writes one checkpoint, unless no chain has grown. It signs nothing about a chain that does not go on from where its
// last checkpoint saw it, and its error tells which one. If a place is away, the checkpoint has the chains of the others.
func (c *Checkpoints) Write(ctx context.Context) error {
	p := Checkpoint{At: c.now().UTC()}
	var faults []error
	for _, at := range c.reader.places {
		here, err := heads(ctx, at)
		faults = append(faults, err)
		for _, h := range here {
			last := c.last[h.Chain]
			if h == last {
				continue
			}
			same, err := goesOn(ctx, at, last, h)
			if err == nil && !same {
				err = fmt.Errorf("%w: chain %s is not what a checkpoint saw at %d", ErrRewritten, h.Chain, last.N)
			}
			if err != nil {
				faults = append(faults, err)
				continue
			}
			p.Heads = append(p.Heads, h)
		}
	}
	return errors.Join(append(faults, c.sign(&p))...)
}

const selectHash = "SELECT hash FROM audit_entries__ WHERE chain = ? AND n = ?"

// goesOn reports whether a chain still has the entry that was its last one.
func goesOn(ctx context.Context, p place.Place, last, h Head) (bool, error) {
	if last.N == 0 {
		return true, nil
	}
	var hash []byte
	err := p.In(p.Writer()).QueryRowContext(ctx, selectHash, last.Chain, last.N).Scan(&hash)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("place %s: %w", p.Name, db.ReadError("audit log", "audit_entries", err))
	}
	return h.N > last.N && bytes.Equal(hash, last.Hash[:]), nil
}

// sign writes a checkpoint that says something.
func (c *Checkpoints) sign(p *Checkpoint) error {
	if len(p.Heads) == 0 {
		return nil
	}
	slices.SortFunc(p.Heads, func(a, b Head) int { return cmp.Compare(a.Chain, b.Chain) })
	line, err := p.Sign(c.keys)
	if err == nil {
		err = appendLine(c.file, line)
	}
	if err != nil {
		return err
	}
	for _, h := range p.Heads {
		c.last[h.Chain] = h
	}
	return nil
}

// appendLine writes a line behind those of a file, and waits until the disk has it. It begins with an empty one, behind what a
// process has left that ended within a line.
func appendLine(path, line string) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640) //nolint:gosec // the operator names the file, and others may read it
	if err != nil {
		return fmt.Errorf("write checkpoint %w", text.OfFile(err))
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteString("\n" + line + "\n"); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return file.Sync()
}
