package admin

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/wire"
)

// TestNotDoneIsNoSuccess: what a report says is not done ends its command with an error, as text and
// as JSON.
func TestNotDoneIsNoSuccess(t *testing.T) {
	for name, c := range map[string]struct {
		report any
		want   string // empty: success
	}{
		"blocks that stay":      {&discardReport{Done: true, Left: 2, Owner: "sicilia"}, "2 blocks"},
		"a dry run of that":     {&discardReport{Left: 2}, ""},
		"all blocks discarded":  {&discardReport{Done: true, Blocks: 2}, ""},
		"citizens left behind":  {&movedReport{Failed: 3, From: "lazio"}, "3 citizens"},
		"everybody was fetched": {&movedReport{Citizens: 3}, ""},
		"nothing to verify":     {verifyReport{}, "no copy"},
	} {
		for _, asJSON := range []bool{false, true} {
			err := cli.PrintReport(io.Discard, asJSON, c.report, func(io.Writer) error { return nil })
			if c.want == "" && err != nil || c.want != "" && (err == nil ||
				!strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		}
	}
	broken := errors.New("broken pipe")
	if err := cli.PrintReport(io.Discard, false, struct{}{},
		func(io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a report that cannot be written: %v", err)
	}
}

// TestMoveThatEndedOtherwise: a move that was waited for and ended elsewhere is no success.
func TestMoveThatEndedOtherwise(t *testing.T) {
	for _, c := range []struct {
		m    wire.Move
		to   wire.RegionID
		want string
	}{
		{wire.Move{Region: "sicilia"}, "sicilia", ""},
		{wire.Move{Region: "lazio"}, "sicilia", "it was aborted"},
		{wire.Move{Region: "lazio"}, "", ""},
		{wire.Move{Region: "sicilia"}, "", "it was not aborted"},
		{wire.Move{Region: "lazio", State: wire.MoveFenced}, "sicilia", ""},
	} {
		err := ended(&c.m, "lazio", c.to)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v to %q: %v, want %q", c.m, c.to, err, c.want)
		}
	}
}
