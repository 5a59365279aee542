package admin

import (
	"strings"
	"testing"

	"github.com/staffetta/staffetta/cmd/internal/clitest"
	"github.com/staffetta/staffetta/wire"
)

// TestMoveCommandRefuses: what cannot be meant is said before anybody is asked.
func TestMoveCommandRefuses(t *testing.T) {
	code := clitest.File(t, "code.txt", "RSSMRA85T10A562S\n")
	hash := strings.Repeat("ab", 16)
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"nobody": {[]string{"--to", "sicilia"}, "whose move is it"},
		"two names": {[]string{"--to", "x", "--recipient", hash, "--recipient-file", code},
			"whose"},
		"nowhere":          {[]string{"--recipient", hash}, "give --to REGION, or --abort"},
		"there and back":   {[]string{"--recipient", hash, "--to", "x", "--abort"}, "give --to"},
		"no region's name": {[]string{"--recipient", hash, "--to", "Sicilia!"}, "not the name"},
		"no federation":    {[]string{"--recipient", hash, "--to", "sicilia"}, "--dir"},
	} {
		out, _, err := clitest.Execute(t, Contexts, newMoveCommand(), "", tc.args...)
		if err == nil || !strings.Contains(err.Error(), tc.want) || out != "" {
			t.Errorf("%s: got %v and %q, want %q", name, err, out, tc.want)
		}
	}
	if _, _, err := clitest.Execute(t, Contexts, newMoveStatusCommand(), ""); err == nil {
		t.Error("the status of nobody's move is told")
	}
}

func TestMoveReports(t *testing.T) {
	r := wire.Recipient{1}
	moving := wire.Move{Recipient: r, Region: "lazio", To: "sicilia", Epoch: 2,
		State: wire.MoveIntended, Since: 1}
	fenced := moving
	fenced.State, fenced.Aborting = wire.MoveFenced, true
	for _, tc := range []struct {
		m    wire.Move
		want string
	}{
		{wire.Move{Region: "lazio", Epoch: 3}, "in region lazio, at epoch 3"},
		{moving, "moving from region lazio to region sicilia, for epoch 2, since " +
			"1970-01-01T00:00:00.001Z: still served by lazio"},
		{fenced, "being handed over; the end of the move was asked for"},
	} {
		if out := textOf(reportMove(r, &tc.m)); !strings.Contains(out, tc.want) {
			t.Errorf("got %q, want %q", out, tc.want)
		}
	}
}
