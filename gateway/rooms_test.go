package gateway

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/room"
)

// TestDescriptorsAreWatched takes a gateway's file descriptors away: it is degraded while few are
// left, not ready when the last ones go, and well again when there are more.
func TestDescriptorsAreWatched(t *testing.T) {
	_, s := running(t)
	var left uint64
	r := room.Descriptors()
	r.Count = func() (free, total uint64, ok bool) { return left, 1 << 20, true }
	// The running one counts its own meanwhile.
	g := &Gateway{router: s.router, link: s.link, descriptors: r}
	says := func(list []string) bool {
		return slices.ContainsFunc(list, func(line string) bool {
			return strings.Contains(line, "file descriptors are left")
		})
	}
	for _, step := range []struct {
		left            uint64
		ready, degraded bool
	}{{r.Low, true, false}, {r.Low - 1, true, true}, {r.Critical - 1, true, true},
		{r.Full - 1, false, false}, {r.Low, true, false}} {
		left = step.left
		r.Look()
		h := g.Health()
		if h.Ready != step.ready || says(h.Reasons) == step.ready ||
			says(h.Degraded) != step.degraded {
			t.Errorf("%d left: ready %t, reasons %q, degraded %q", left, h.Ready, h.Reasons,
				h.Degraded)
		}
	}
}

// TestDescriptorsAreCounted sees those of a running gateway in its metrics.
func TestDescriptorsAreCounted(t *testing.T) {
	if _, _, ok := room.Descriptors().Count(); !ok {
		t.Skip("the file descriptors of a process cannot be counted here")
	}
	_, s := running(t)
	await(t, "its descriptors are counted", func() bool { return s.descriptors.Left() > 0 })
	resp, metrics := s.send(t, request(t, s.admin+"/metrics"))
	if resp.StatusCode != http.StatusOK ||
		!strings.Contains(metrics, "\nstaffetta_gateway_descriptors_left ") ||
		strings.Contains(metrics, "\nstaffetta_gateway_descriptors_left 0\n") {
		t.Errorf("/metrics: got %d without the descriptors that are left", resp.StatusCode)
	}
}
