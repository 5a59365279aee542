package founding

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/wire"
)

const good = `{"federation":"italia","regions":[{"id":"lazio","tag":12},{"id":"sicilia","tag":19}],
"nodes":[{"id":"lazio-1","region":"lazio","addr":"127.0.0.1:1","voter":true},
{"id":"sicilia-1","region":"sicilia","addr":"127.0.0.1:2"}]}`

func TestParse(t *testing.T) {
	m, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	dealt := map[wire.RegionID]int{}
	for s := range wire.Slot(wire.Slots) {
		dealt[m.Anchor(s)]++
	}
	if dealt["lazio"] != 512 || dealt["sicilia"] != 512 {
		t.Errorf("slots dealt %v, want 512 each", dealt)
	}
}

// TestOf: a map's file can be read again and names the map's nodes, and regions without any are
// not in it.
func TestOf(t *testing.T) {
	m, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	m.Regions = append(m.Regions, wire.Region{ID: "umbria", Tag: 10})
	m.Gateways = []wire.Gateway{{ID: "edge-1", Region: "lazio"}, {ID: "edge-2", Region: "umbria"}}
	m.ActiveVersion = 2
	again, err := Parse(Of(m).JSON())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.Nodes, m.Nodes) || len(again.Regions) != 2 || again.ActiveVersion != 2 ||
		len(again.Gateways) != 1 || again.Gateways[0] != m.Gateways[0] {
		t.Errorf("a file of %+v", again)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, change := range map[string][2]string{
		"member twice":       {`"voter":true`, `"voter":true,"voter":true`},
		"unknown member":     {`"voter":true`, `"voter":true,"port":1`},
		"trailing data":      {`}]}`, `}]} {}`},
		"no voter":           {`,"voter":true`, ``},
		"even voters":        {`"addr":"127.0.0.1:2"`, `"addr":"127.0.0.1:2","voter":true`},
		"tag twice":          {`"tag":19`, `"tag":12`},
		"tag out of range":   {`"tag":19`, `"tag":1024`},
		"address twice":      {`127.0.0.1:2`, `127.0.0.1:1`},
		"unknown region":     {`"region":"sicilia"`, `"region":"puglia"`},
		"bad region name":    {`"id":"lazio"`, `"id":"Lazio"`},
		"name twice":         {`"id":"sicilia-1"`, `"id":"lazio-1"`},
		"no federation":      {`"federation":"italia"`, `"federation":""`},
		"region with nobody": {`"id":"sicilia-1","region":"sicilia"`, `"id":"x-1","region":"lazio"`},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, change[0], change[1], 1)
			if bad == good {
				t.Fatal("the change changes nothing")
			}
			if m, err := Parse([]byte(bad)); err == nil {
				t.Errorf("accepted %+v", m)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := Parse(b); err == nil && m.Validate() != nil {
			t.Error("parsed into a map that does not validate")
		}
	})
}

func TestSpreadVoters(t *testing.T) {
	for _, c := range []struct{ nodes, want string }{
		{"a", "a1"},
		{"aa", "a1"},
		{"aab", "a1 a2 b1"},
		{"aaabbbccc", "a1 a2 b1 b2 b3 c1 c2"},
		{"aaaaab", "a1 a2 a3 a4 b1"},
		{"abcd", "a1 c1 d1"},
		{"abcdefghijklmnopqrst", "b1 e1 h1 k1 m1 p1 s1"},
	} {
		f := File{Federation: "italia"}
		count := map[rune]int{}
		for _, r := range c.nodes {
			if count[r]++; count[r] == 1 {
				f.Regions = append(f.Regions, Region{ID: wire.RegionID(r), Tag: wire.RegionTag(r)})
			}
			f.Nodes = append(f.Nodes, Node{Region: wire.RegionID(r),
				ID: wire.NodeID(fmt.Sprintf("%c%d", r, count[r])), Voter: true})
		}
		f.SpreadVoters()
		var got []string
		for _, n := range f.Nodes {
			if n.Voter {
				got = append(got, string(n.ID))
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.nodes, got, c.want)
		}
	}
}
