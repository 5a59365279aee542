package membership

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

// group reads members of the federation's group, as its leader sees them: "a1" votes, "a2." only
// follows, "a3!" does not answer. The letter is the region; the first one leads.
func group(words string) (*wire.Map, []wire.GroupMember) {
	m := &wire.Map{}
	var progress []wire.GroupMember
	for _, w := range strings.Fields(words) {
		id := wire.NodeID(strings.TrimRight(w, ".!"))
		n := wire.Node{ID: id, Region: wire.RegionID(id[:1]), Voter: !strings.Contains(w, ".")}
		m.Nodes = append(m.Nodes, n)
		progress = append(progress, wire.GroupMember{Node: id, Voter: n.Voter,
			Answers: !strings.Contains(w, "!")})
	}
	return m, progress
}

func TestChooseVoters(t *testing.T) {
	for _, c := range []struct{ have, leaving, want string }{
		{"a1 a2 a3 b1.", "a2", "a1 a3 b1"},
		{"a1 a2 a3 b1. a4.", "a2", "a1 a3 b1"},             // the region with the fewest
		{"a1 a2 a3 b1.! b2. c1.!", "a2", "a1 a3 b2"},       // of those that answer
		{"a1 a2 a3! b1.", "a3", "a1 a2 b1"},                // who is lost for good
		{"a1 a2 a3 a4 a5", "a5", "a1 a2 a3"},               // an odd number
		{"a1 a2 a3! a4 a5", "a5", "a1 a2 a4"},              // without who is silent
		{"a1 a2 b1 b2 c1 c2. d1.", "b2", "a1 a2 b1 c1 d1"}, // as many as before
		{"a1 a2 b1 b2 c1 c2 d1 d2.", "a1", "a2 b1 b2 c1 c2 d1 d2"},
		{"a1 a2 a3", "a3", "a1"},       // two are left, of whom the leader votes
		{"a1! a2 a3", "a3", "a2"},      // unless it is silent
		{"a1 a2. a3.", "", "a1 a2 a3"}, // a federation that has grown
		{"a1 b1.", "", "a1"},
		{"a1 a2 a3 b1.!", "a3", ""}, // nobody takes the place
	} {
		m, progress := group(c.have)
		leaves := func(n wire.Node) bool { return string(n.ID) == c.leaving }
		got, err := chooseVoters(m, leaves, "a1", progress)
		var words []string
		for _, id := range got {
			words = append(words, string(id))
		}
		slices.Sort(words)
		if strings.Join(words, " ") != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s without %q: %v, %v, want %q", c.have, c.leaving, words, err, c.want)
		}
		if err != nil && !errors.Is(err, wire.Conflict) {
			t.Errorf("%s: %v, want a conflict", c.have, err)
		}
	}
}

// TestFenceVoters: nodes of a region that is fenced vote in the federation no more, where others
// can take their place; and a region that the federation's majority needs is not fenced.
func TestFenceVoters(t *testing.T) {
	for _, c := range []struct {
		have, fenced, want, refused string
	}{
		{"a1 a2. a3. b1 b2. c1", "b", "a1 a2 c1", ""},
		{"a1 a2 b1! b2! c1 c2. c3.", "b", "a1 a2 c1 c2 c3", ""}, // as many as before
		{"a1 a2 b1! c1 c2 a3.!", "b", "a1 a2 c1", ""},           // or fewer, but an odd number
		{"a1 a2. b1. b2.", "b", "", ""},                         // none of its nodes votes
		{"a1 b1! c1", "b", "", ""},                              // nobody to take the place
		{"a1 b1 b2 c1. c2.", "b", "", "1 answer"},
		{"a1 b1 b2! c1 d1!", "b", "", "2 answer"}, // more than one step from a majority
		{"b1 b2 b3", "b", "", "0 answer"},
	} {
		m, progress := group(c.have)
		got, err := fenceVoters(m, wire.RegionID(c.fenced), m.Nodes[0].ID, progress)
		var words []string
		for _, id := range got {
			words = append(words, string(id))
		}
		if strings.Join(words, " ") != c.want || (err != nil) != (c.refused != "") ||
			err != nil && (!errors.Is(err, wire.Conflict) ||
				!strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s: %v, %v; want %q, refused: %q", c.have, words, err, c.want, c.refused)
		}
	}
}

func TestSafeWithout(t *testing.T) {
	for _, c := range []struct {
		have, node string
		want       bool
	}{
		{"a1 a2 a3", "a3", true},
		{"a1 a2! a3", "a3", false},
		{"a1 a2! a3", "a2", true},
		{"a1 a2 a3! a4! a5", "a5", false},
		{"a1 a2 a3! a4! a5", "a4", true},
		{"a1", "a1", false},
	} {
		if _, progress := group(c.have); safeWithout(progress, wire.NodeID(c.node)) != c.want {
			t.Errorf("%s without %s: want %v", c.have, c.node, c.want)
		}
	}
}

func TestParseTokenRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "not a join token"},
		{"{}", "names"},
		{`{"federation":"italia","region":"lazio","node":"lazio-1","x":1}`, "not a join token"},
		{`{"federation":"italia","region":"lazio","node":"lazio-1"} {}`, "data after"},
		{`{"federation":"italia","region":"lazio","node":"lazio-1","secret":"AA=="}`, "secret"},
		{`{"federation":"italia","region":"lazio","node":"lazio-1",
			"secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`, "nodes to ask"},
		{`{"federation":"italia","region":"lazio","node":"lazio-1","nodes":["h:1"],
			"secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`, "authorities"},
		{strings.Repeat("x", tokenBytesMax+1), "more than"},
	} {
		if _, err := parseToken([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: %v, want %q", c.text, err, c.want)
		}
	}
}
