package virtual

import (
	"context"
	"log/slog"
	"slices"
	"testing"
)

// onceKeys fails a test that logs a line with a key twice: readers of JSON keep one of the two. It
// looks at lines that the handler below it does not write, too.
type onceKeys struct {
	slog.Handler
	t    testing.TB
	keys []string // of the logger's own attributes
}

func (h onceKeys) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (h onceKeys) Handle(ctx context.Context, r slog.Record) error {
	keys := slices.Clone(h.keys)
	r.Attrs(func(a slog.Attr) bool {
		if slices.Contains(keys, a.Key) {
			h.t.Errorf("the line %q has the key %q twice", r.Message, a.Key)
		}
		keys = append(keys, a.Key)
		return true
	})
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h onceKeys) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.keys = slices.Clone(h.keys)
	for _, a := range attrs {
		if slices.Contains(h.keys, a.Key) {
			h.t.Errorf("a logger has the key %q twice", a.Key)
		}
		h.keys = append(h.keys, a.Key)
	}
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}
