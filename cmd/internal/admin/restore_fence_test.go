package admin

import "testing"

// A fence that is repeated, as after an answer that was lost, says that nothing changed.
func TestFenceSaysWhatItFound(t *testing.T) {
	for _, c := range []struct {
		r    fenceReport
		want string
	}{
		{fenceReport{Done: true, Region: "lazio", Incarnation: 1},
			"region lazio is of incarnation 1, after 0\n"},
		{fenceReport{Region: "lazio", Before: 1, Incarnation: 2},
			"region lazio would be of incarnation 2, after 1\n"},
		{fenceReport{Done: true, Region: "lazio", Before: 1, Incarnation: 1},
			"region lazio is of incarnation 1 already: it was fenced before\n"},
		{fenceReport{Region: "lazio", Before: 1, Incarnation: 1},
			"region lazio is of incarnation 1 already: it was fenced before\n"},
	} {
		if out := textOf(c.r); out != c.want {
			t.Errorf("%+v: %q, want %q", c.r, out, c.want)
		}
	}
}
