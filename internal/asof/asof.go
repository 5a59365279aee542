// Package asof carries, in the context of a request, that its answer may be of an earlier time, and
// of which one it is.
package asof

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Header says in an answer as of when it is. Answers of now do not have it.
const Header = "Staffetta-As-Of"

// Mark is the time of a request's answer. Its methods may be called concurrently; those of nil
// do nothing.
type Mark struct {
	header http.Header

	mu sync.Mutex
	at time.Time // guarded by mu; zero: of now
}

type key struct{}

// Allow is a context in which answers may be of an earlier time. header is the answer's, which must
// not have been written when they are noted.
func Allow(ctx context.Context, header http.Header) context.Context {
	return context.WithValue(ctx, key{}, &Mark{header: header})
}

// From is the mark of a context; nil: its answers must be of now.
func From(ctx context.Context) *Mark {
	m, _ := ctx.Value(key{}).(*Mark)
	return m
}

// Note has the answer say that a part of it is as of a time. The earliest one stays.
func (m *Mark) Note(at time.Time) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() || at.Before(m.at) {
		m.at = at
		m.header.Set(Header, at.UTC().Format(time.RFC3339))
	}
}

// Time is the earliest time that was noted; zero: none was.
func (m *Mark) Time() time.Time {
	if m == nil {
		return time.Time{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}
