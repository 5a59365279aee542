package asof

import (
	"net/http"
	"testing"
	"time"
)

// TestMark: an answer of parts is as old as its oldest one.
func TestMark(t *testing.T) {
	if m := From(t.Context()); m != nil {
		t.Error("a context that allows nothing has a mark")
	}
	From(t.Context()).Note(time.Now())
	if at := From(t.Context()).Time(); !at.IsZero() {
		t.Errorf("of no mark: %s", at)
	}
	h := http.Header{}
	ctx := Allow(t.Context(), h)
	if got := h.Get(Header); got != "" || !From(ctx).Time().IsZero() {
		t.Errorf("before anything is noted: %q", got)
	}
	noon := time.Date(2026, 3, 4, 12, 0, 0, 500, time.FixedZone("CET", 3600))
	for _, at := range []time.Time{noon, noon.Add(-time.Minute), noon.Add(time.Minute)} {
		From(ctx).Note(at)
	}
	if got, want := h.Get(Header), "2026-03-04T10:59:00Z"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := From(ctx).Time(); !got.Equal(noon.Add(-time.Minute)) {
		t.Errorf("got %s", got)
	}
}
