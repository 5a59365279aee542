package consensus

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// slogger is the library's logger over ours. The library logs indexes, terms, names of nodes and
// errors of the stores and the transport; never what an entry holds.
type slogger struct {
	to   *slog.Logger
	name string
	with []any
}

func newHclog(to *slog.Logger) hclog.Logger { return &slogger{to: to} }

// The library's Info is about single elections and snapshots, which we log ourselves in our own
// words, so all but warnings and errors is our Debug.
func slogLevel(level hclog.Level) slog.Level {
	switch {
	case level >= hclog.Error:
		return slog.LevelError
	case level == hclog.Warn:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (l *slogger) Log(level hclog.Level, msg string, args ...any) {
	ctx, at := context.Background(), slogLevel(level)
	if !l.to.Enabled(ctx, at) {
		return
	}
	attrs := make([]any, 0, len(args)+2)
	attrs = append(attrs, "detail", msg)
	for i := 0; i < len(args); i++ {
		if i%2 == 1 {
			// hclog.Format is a printf call spelled as a slice.
			if f, ok := args[i].(hclog.Format); ok && len(f) > 0 {
				attrs = append(attrs, fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...))
				continue
			}
		}
		attrs = append(attrs, args[i])
	}
	l.to.Log(ctx, at, "raft", attrs...)
}

func (l *slogger) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }
func (l *slogger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l *slogger) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l *slogger) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *slogger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *slogger) enabled(level slog.Level) bool {
	return l.to.Enabled(context.Background(), level)
}

func (l *slogger) IsTrace() bool { return l.enabled(slog.LevelDebug) }
func (l *slogger) IsDebug() bool { return l.enabled(slog.LevelDebug) }
func (l *slogger) IsInfo() bool  { return l.enabled(slog.LevelDebug) }
func (l *slogger) IsWarn() bool  { return l.enabled(slog.LevelWarn) }
func (l *slogger) IsError() bool { return l.enabled(slog.LevelError) }

func (l *slogger) ImpliedArgs() []any { return l.with }

func (l *slogger) With(args ...any) hclog.Logger {
	with := append(append([]any(nil), l.with...), args...)
	return &slogger{to: l.to.With(args...), name: l.name, with: with}
}

func (l *slogger) Name() string { return l.name }

func (l *slogger) Named(name string) hclog.Logger {
	if l.name != "" {
		name = l.name + "." + name
	}
	return l.ResetNamed(name)
}

func (l *slogger) ResetNamed(name string) hclog.Logger {
	return &slogger{to: l.to, name: name, with: l.with}
}

// The level is our logger's own.
func (l *slogger) SetLevel(hclog.Level)  {}
func (l *slogger) GetLevel() hclog.Level { return hclog.Debug }

func (l *slogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(io.Discard, "", 0)
}

func (l *slogger) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return io.Discard }
