package torture

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report is what came of a run.
type Report struct {
	Again    string   `json:"again"` // the command line that repeats it
	Dir      string   `json:"dir,omitempty"`
	Seed     uint64   `json:"seed"`
	Seconds  float64  `json:"seconds"` // of torture, without start and judgement
	Regions  []string `json:"regions"`
	Nodes    int      `json:"nodes_per_region"`
	Complete bool     `json:"complete"` // it was not interrupted

	Faults  []FaultReport `json:"faults"`
	Skipped []Skipped     `json:"skipped,omitempty"`
	Endings []Ending      `json:"endings,omitempty"`
	// Operations counts clients' operations by kind and outcome.
	Operations map[string]map[outcome]int `json:"operations"`
	Datagrams  carried                    `json:"datagrams"`
	Judged     Judged                     `json:"judged"`
	// Gaps is the longest time without an acknowledged write, by region, in seconds; Resumed the
	// longest during a fault that left a majority, and soon after it.
	Gaps    map[string]float64 `json:"longest_gap_seconds"`
	Resumed map[string]float64 `json:"longest_resumption_seconds"`
	// Revoked is how long after its acknowledged revocation a key was last accepted, at the most.
	Revoked float64 `json:"longest_revocation_seconds"`

	Violations     int      `json:"violations"`
	ViolationsList []string `json:"violations_list"`
	// NotJudged is what the judges could not decide, and why.
	NotJudged []string `json:"not_judged,omitempty"`
}

// FaultReport is one fault as it happened. Times are seconds since the beginning.
type FaultReport struct {
	At     float64  `json:"at"`
	Healed float64  `json:"healed"`
	Name   string   `json:"name"`
	What   string   `json:"what"`
	Silent []string `json:"silent,omitempty"` // regions that could take no writes
	Failed string   `json:"failed,omitempty"` // why it could not be brought about
	// Gaps is the longest time without an acknowledged write from the beginning until soon after
	// the end, of each region that was not silent.
	Gaps map[string]float64 `json:"gaps,omitempty"`

	stalled time.Duration // of the machine meanwhile
}

// Skipped is a fault that cannot be brought about here.
type Skipped struct {
	Name  string `json:"name"`
	Needs string `json:"needs"`
}

// Judged counts what the judges looked at.
type Judged struct {
	Citizens    int `json:"citizens"`
	Messages    int `json:"messages"`
	Unknown     int `json:"messages_of_unknown_outcome"`
	Histories   int `json:"registry_histories"`
	Operations  int `json:"registry_operations"`
	Digests     int `json:"digests_compared"`
	Markers     int `json:"markers_found"`
	Revocations int `json:"revocations"`
	Throttled   int `json:"messages_spooled"`
	Sealed      int `json:"sealed_blocks_opened"`
}

// OK reports whether the run was complete and nothing was found.
func (r *Report) OK() bool { return r.Complete && r.Violations == 0 }

// WriteJSON writes the report.
func (r *Report) WriteJSON(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes what a reader wants to know first.
func (r *Report) WriteText(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d faults in %.0f s\n", r.Seed, len(r.Faults), r.Seconds)
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "  without %s, which needs %s\n", s.Name, s.Needs)
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Operations)) {
		n := r.Operations[kind]
		fmt.Fprintf(&b, "  %-14s %6d done  %5d refused  %5d unknown\n", kind, n[done], n[refused],
			n[unknown])
	}
	j := r.Judged
	fmt.Fprintf(&b, "judged: %d messages (%d of unknown outcome) to %d citizens, %d registry "+
		"operations,\n  %d digests compared, %d markers found on the right disks, %d revocations,\n"+
		"  %d messages spooled, %d sealed blocks that only their owners' keys open\n",
		j.Messages, j.Unknown, j.Citizens, j.Operations, j.Digests, j.Markers, j.Revocations,
		j.Throttled, j.Sealed)
	for _, region := range slices.Sorted(maps.Keys(r.Gaps)) {
		fmt.Fprintf(&b, "%s: longest gap %.1f s, after a fault that leaves a majority %.1f s\n",
			region, r.Gaps[region], r.Resumed[region])
	}
	for _, e := range r.Endings {
		fmt.Fprintf(&b, "%.1fs: %s ended by itself (%s): %.200s\n", e.At, e.ID, e.How, e.Why)
	}
	for _, n := range r.NotJudged {
		fmt.Fprintf(&b, "not judged: %s\n", n)
	}
	switch {
	case r.Violations > 0:
		fmt.Fprintf(&b, "%d VIOLATIONS\n", r.Violations)
		for _, v := range r.ViolationsList {
			fmt.Fprintf(&b, "  %s\n", v)
		}
		fmt.Fprintf(&b, "everything is kept in %s; again: %s\n", r.Dir, r.Again)
	case !r.Complete:
		fmt.Fprintf(&b, "interrupted\n")
	default:
		fmt.Fprintf(&b, "nothing found\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}
