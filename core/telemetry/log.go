// Package telemetry owns what one needs to watch a process: its log, and the ops HTTP server with health, metrics and
// profiles. It does not know what the process does.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"

	"sluice/core/text"
)

// NewLogger logs to w from a level (debug, info, warn, error) up, in a format (text, json).
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	options := &slog.HandlerOptions{Level: least}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(plainJSON{w}, options)), nil
	}
	return nil, fmt.Errorf("log format %q: want text or json", format)
}

// plainJSON escapes characters that would act on a terminal. The text format does so by itself.
type plainJSON struct{ w io.Writer }

// Write implements io.Writer.
func (p plainJSON) Write(line []byte) (int, error) {
	if _, err := p.w.Write(text.EscapeJSON(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}
