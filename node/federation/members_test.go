package federation

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

func members(c wire.MemberChange) wire.Command { return command(wire.CmdMembers, &c) }

// federationOf opens a founded replica of two regions with three nodes each; lazio's vote.
func federationOf(t *testing.T) *State {
	t.Helper()
	s := mustOpen(t, vfs.NewMem())
	t.Cleanup(func() { s.Close() })
	succeed(t, s, command(wire.CmdFound, testMap("lazio", "sicilia")))
	return s
}

// refused holds that a command is refused with a code and words, and changes nothing.
func refused(t *testing.T, s *State, c wire.Command, code wire.Code, words string) {
	t.Helper()
	_, before := rowsOf(t, s)
	r := apply(t, s, c)[0]
	if !errors.Is(r.Err, code) || !strings.Contains(r.Err.Error(), words) {
		t.Errorf("got %v, want %v with %q", r.Err, code, words)
	}
	_, after := rowsOf(t, s)
	delete(before, string(timeKey))
	delete(after, string(timeKey))
	if len(before) != len(after) {
		t.Fatalf("%d rows became %d", len(before), len(after))
	}
	for k, v := range before {
		if after[k] != v {
			t.Errorf("row %q changed by a refused command", k)
		}
	}
}

func mapOf(t *testing.T, s *State) *wire.Map {
	t.Helper()
	m, ok := s.Map()
	if !ok {
		t.Fatal("no map")
	}
	return m
}

func votersOf(m *wire.Map) (list []wire.NodeID) {
	for _, n := range m.Nodes {
		if n.Voter {
			list = append(list, n.ID)
		}
	}
	return list
}

func TestRegionsComeAndGo(t *testing.T) {
	s := federationOf(t)
	put := func(id wire.RegionID, tag wire.RegionTag, closing bool) wire.Command {
		return members(wire.MemberChange{PutRegion: &wire.RegionChange{ID: id, Tag: tag,
			Closing: closing}})
	}
	refused(t, s, put("Umbria", 10, false), wire.Malformed, "a name of")
	refused(t, s, put("umbria", 1, false), wire.Conflict, "tag 1 is region lazio's")
	refused(t, s, put("lazio", 7, false), wire.Conflict, "for ever")
	refused(t, s, put("umbria", 10, true), wire.NotFound, "no region")
	refused(t, s, put("lazio", 1, true), wire.Conflict, "512 anchor slots")
	succeed(t, s, put("umbria", 10, false))
	version := mapOf(t, s).Version
	succeed(t, s, put("umbria", 10, false))
	if got := mapOf(t, s).Version; got != version {
		t.Errorf("the same region again: version %d, want %d", got, version)
	}

	gateway := func(region wire.RegionID) wire.Command {
		return members(wire.MemberChange{PutGateway: &wire.Gateway{ID: "g-1", Region: region}})
	}
	remove := members(wire.MemberChange{RemoveRegion: "umbria"})
	succeed(t, s, gateway("umbria"), gateway("umbria"))
	refused(t, s, gateway("lazio"), wire.Conflict, "at home in region umbria")
	refused(t, s, gateway("puglia"), wire.NotFound, "no region")
	refused(t, s, remove, wire.Conflict, "gateway g-1")
	succeed(t, s, members(wire.MemberChange{RemoveGateway: "g-1"}))
	refused(t, s, remove, wire.Conflict, "not closing")
	succeed(t, s, put("umbria", 10, true))
	refused(t, s, gateway("umbria"), wire.Conflict, "closing")
	succeed(t, s, remove, remove)
	if _, there := mapOf(t, s).RegionByID("umbria"); there {
		t.Error("umbria is still on the map")
	}
	refused(t, s, members(wire.MemberChange{RemoveRegion: "marche"}), wire.NotFound, "no region")
	refused(t, s, members(wire.MemberChange{RemoveRegion: "lazio"}), wire.Conflict, "3 nodes")
	refused(t, s, put("marche", 10, false), wire.Conflict, "was region umbria's")
	refused(t, s, put("umbria", 11, false), wire.Conflict, "had tag 10")
	succeed(t, s, put("umbria", 10, false))
}

func TestNodesChange(t *testing.T) {
	s := federationOf(t)
	node := func(c wire.NodeChange) wire.Command { return members(wire.MemberChange{Node: &c}) }
	remove := func(id wire.NodeID, voters ...wire.NodeID) wire.Command {
		return members(wire.MemberChange{RemoveNode: &wire.NodeRemoval{ID: id, Voters: voters}})
	}
	refused(t, s, node(wire.NodeChange{ID: "x", Addr: "h:1"}), wire.NotFound, "no node")
	refused(t, s, node(wire.NodeChange{ID: "lazio-1", Addr: "nowhere"}), wire.Malformed, "host:port")
	refused(t, s, node(wire.NodeChange{ID: "lazio-1", Addr: "127.0.0.1:7001"}), wire.Malformed,
		"taken")
	refused(t, s, node(wire.NodeChange{ID: "lazio-1", SetMaintenance: true,
		Maintenance: strings.Repeat("x", 257)}), wire.Malformed, "reason")
	refused(t, s, node(wire.NodeChange{ID: "lazio-1", Transfer: "x"}), wire.Malformed, "hands over")
	version := mapOf(t, s).Version
	succeed(t, s, node(wire.NodeChange{ID: "lazio-1", Transfer: "region"}))
	if got := mapOf(t, s).Version; got != version {
		t.Errorf("a note for the audit made version %d", got)
	}
	refused(t, s, node(wire.NodeChange{ID: "lazio-1", SetNonvoter: true, Nonvoter: true}),
		wire.Conflict, "two voters left")
	succeed(t, s, node(wire.NodeChange{ID: "lazio-1", Addr: "127.0.0.1:9001"}),
		node(wire.NodeChange{ID: "lazio-1", SetMaintenance: true, Maintenance: "new memory"}))
	n, _ := mapOf(t, s).Node("lazio-1")
	if n.Addr != "127.0.0.1:9001" || n.Maintenance != "new memory" {
		t.Errorf("got %+v", n)
	}
	refused(t, s, remove("lazio-1"), wire.Conflict, "two voters left")
	succeed(t, s, admitted(t, s, "lazio", "lazio-4")...)
	refused(t, s, remove("lazio-1"), wire.Conflict, "nobody is named")
	refused(t, s, remove("lazio-1", "lazio-1", "lazio-2", "lazio-3"), wire.NotFound, "lazio-1")
	refused(t, s, remove("lazio-1", "lazio-2", "lazio-3"), wire.Malformed, "odd number of 3-7")
	refused(t, s, remove("lazio-1", "lazio-2"), wire.Malformed, "odd number of 3-7")
	refused(t, s, remove("lazio-1", "lazio-2", "lazio-2", "lazio-3"), wire.Malformed, "twice")
	succeed(t, s, remove("lazio-1", "lazio-2", "lazio-3", "sicilia-1"))
	if got := votersOf(mapOf(t, s)); len(got) != 3 || got[2] != "sicilia-1" {
		t.Errorf("voters %v", got)
	}
	succeed(t, s, remove("lazio-1"))
	refused(t, s, remove("lazio-9"), wire.NotFound, "no node")
	refused(t, s, token("again", "lazio", "lazio-1"), wire.Conflict, "not given again")
	refused(t, s, members(wire.MemberChange{Voters: []wire.NodeID{"lazio-2"}}), wire.Malformed,
		"3-7")
	succeed(t, s, members(wire.MemberChange{Voters: []wire.NodeID{"lazio-2", "lazio-3", "lazio-4",
		"sicilia-1", "sicilia-2"}}))
	refused(t, s, members(wire.MemberChange{RemoveGateway: "g", RemoveRegion: "lazio"}),
		wire.Malformed, "exactly one")
	refused(t, s, members(wire.MemberChange{}), wire.Malformed, "exactly one")
}

// TestLastNode: a region loses its last node only while it closes.
func TestLastNode(t *testing.T) {
	s := federationOf(t)
	closing := func(closing bool) wire.Command {
		return members(wire.MemberChange{PutRegion: &wire.RegionChange{ID: "umbria", Tag: 10,
			Closing: closing}})
	}
	remove := members(wire.MemberChange{RemoveNode: &wire.NodeRemoval{ID: "umbria-1"}})
	succeed(t, s, closing(false))
	commands := admitted(t, s, "umbria", "umbria-1")
	results := succeed(t, s, commands...)
	var k wire.JoinToken
	if err := wire.Decode(results[len(results)-1].Body, &k); err != nil || !k.Founds {
		t.Errorf("the first node of a region: %+v, %v, want that it founds", k, err)
	}
	refused(t, s, remove, wire.Conflict, "last of region umbria")
	succeed(t, s, closing(true))
	refused(t, s, token("late", "umbria", "umbria-2"), wire.Conflict, "closing")
	succeed(t, s, remove, members(wire.MemberChange{RemoveRegion: "umbria"}))
}

// TestPlan: a plan is what applying gives, and changes nothing.
func TestPlan(t *testing.T) {
	s := federationOf(t)
	change := wire.MemberChange{PutRegion: &wire.RegionChange{ID: "umbria", Tag: 10}}
	planned, err := s.PlanMembers(&change)
	if err != nil {
		t.Fatal(err)
	}
	if got := mapOf(t, s).Version; got != 1 {
		t.Errorf("planning made version %d", got)
	}
	succeed(t, s, members(change))
	if got, want := wire.Encode(planned), wire.Encode(mapOf(t, s)); string(got) != string(want) {
		t.Error("applied another map than planned")
	}
	if again, err := s.PlanMembers(&change); err != nil || again.Version != planned.Version {
		t.Errorf("planned again: %v, %v, want nothing new", again, err)
	}
	bad := wire.MemberChange{RemoveRegion: "umbria"}
	if _, err := s.PlanMembers(&bad); !errors.Is(err, wire.Conflict) {
		t.Errorf("got %v, want a conflict", err)
	}
}

func tokenOf(secret string, region wire.RegionID, node wire.NodeID) wire.JoinToken {
	return wire.JoinToken{Hash: sha256.Sum256([]byte(secret)), Node: node, Region: region,
		Addr: string(node) + ".example:7400", Expires: wire.Time(1_700_000_000_000).Add(time.Hour)}
}

func token(secret string, region wire.RegionID, node wire.NodeID) wire.Command {
	k := tokenOf(secret, region, node)
	return command(wire.CmdToken, &k)
}

func enrol(secret, request, certificate string) wire.Command {
	return command(wire.CmdEnrol, &wire.Enrolment{Hash: sha256.Sum256([]byte(secret)),
		Request: []byte(request), Certificate: []byte(certificate)})
}

// admitted are the commands that put a node on the map.
func admitted(t *testing.T, _ *State, region wire.RegionID, node wire.NodeID) []wire.Command {
	t.Helper()
	secret := "secret of " + string(node)
	return []wire.Command{token(secret, region, node), enrol(secret, "request", ""),
		enrol(secret, "", "certificate")}
}

func TestTokens(t *testing.T) {
	s := federationOf(t)
	refused(t, s, token("a", "puglia", "puglia-1"), wire.NotFound, "no region")
	refused(t, s, token("a", "lazio", "Lazio"), wire.Malformed, "a name of")
	refused(t, s, token("a", "lazio", "lazio-1"), wire.Conflict, "on the map already")
	late := tokenOf("a", "lazio", "lazio-4")
	late.Expires = late.Expires.Add(wire.TokenAgeMax)
	refused(t, s, command(wire.CmdToken, &late), wire.Malformed, "good for up to")
	late.Expires = 1
	refused(t, s, command(wire.CmdToken, &late), wire.Malformed, "good for up to")
	taken := tokenOf("a", "lazio", "lazio-4")
	taken.Addr = "127.0.0.1:7000"
	refused(t, s, command(wire.CmdToken, &taken), wire.Conflict, "node lazio-1's")

	succeed(t, s, token("a", "lazio", "lazio-4"), token("a", "lazio", "lazio-4"))
	refused(t, s, token("a", "lazio", "lazio-5"), wire.Conflict, "another one")
	refused(t, s, enrol("b", "request", ""), wire.NotFound, "no such token")
	refused(t, s, enrol("a", "", "certificate"), wire.Conflict, "not asked")
	refused(t, s, enrol("a", "", ""), wire.Malformed, "either")
	succeed(t, s, enrol("a", "request", ""), enrol("a", "request", ""))
	refused(t, s, enrol("a", "another", ""), wire.Conflict, "used already")
	succeed(t, s, enrol("a", "", "certificate"), enrol("a", "", "certificate"),
		enrol("a", "request", ""))
	refused(t, s, enrol("a", "", "another"), wire.Conflict, "used already")
	n, ok := mapOf(t, s).Node("lazio-4")
	if !ok || n.Voter || n.Region != "lazio" || n.Addr != "lazio-4.example:7400" {
		t.Errorf("on the map: %+v, %v", n, ok)
	}
	k, err := s.Token(sha256.Sum256([]byte("a")))
	if err != nil || string(k.Certificate) != "certificate" || k.Founds {
		t.Errorf("got %+v, %v", k, err)
	}
}

func TestTokensExpire(t *testing.T) {
	s := federationOf(t)
	later := func(d time.Duration, c ...wire.Command) []wire.Result {
		t.Helper()
		at := wire.Time(1_700_000_000_000).Add(d)
		results, err := s.Apply([]wire.LogEntry{{Index: s.Position().Index + 1, Term: 1,
			Data: wire.EncodeEntry(wire.CommandsEntry, at,
				wire.Encode(&wire.Commands{List: c}))}})
		if err != nil {
			t.Fatal(err)
		}
		return results[0].(*wire.Results).List
	}
	succeed(t, s, token("a", "lazio", "lazio-4"), token("b", "lazio", "lazio-5"))
	succeed(t, s, enrol("b", "request", ""), enrol("b", "", "certificate"))
	succeed(t, s, token("c", "lazio", "lazio-6"), enrol("c", "request", ""))
	r := later(2*time.Hour, enrol("a", "request", ""), enrol("b", "request", ""),
		enrol("c", "", "certificate"))
	if !errors.Is(r[0].Err, wire.Forbidden) || r[1].Err != nil || !errors.Is(r[2].Err, wire.Forbidden) {
		t.Errorf("after their time: %v, %v, %v; want expired, the certificate, expired", r[0].Err,
			r[1].Err, r[2].Err)
	}
	next := tokenOf("d", "lazio", "lazio-4")
	next.Expires = next.Expires.Add(2 * time.Hour)
	if r := later(2*time.Hour, command(wire.CmdToken, &next)); r[0].Err != nil {
		t.Fatal(r[0].Err)
	}
	tokens, err := s.Tokens()
	if err != nil || len(tokens) != 2 || tokens[0].Node != "lazio-4" || tokens[1].Node != "lazio-5" {
		t.Errorf("got %d tokens %v, want the new one and the one in use", len(tokens), err)
	}
}

// TestClosingRegionTakesNothing: neither by a claim nor by a move; what it has is counted.
func TestClosingRegionTakesNothing(t *testing.T) {
	s := federationOf(t)
	closing := func(closing bool) wire.Command {
		return members(wire.MemberChange{PutRegion: &wire.RegionChange{ID: "umbria", Tag: 10,
			Closing: closing}})
	}
	succeed(t, s, closing(false), directoryOp(wire.OpClaim, "anna", "umbria", 1, false),
		directoryOp(wire.OpClaim, "bruno", "lazio", 1, false))
	move := command(wire.CmdMoveDirectory, &wire.DirectoryOps{List: []wire.DirectoryOp{{
		Kind: wire.OpMove, Recipient: recipientOf("bruno"), Region: "lazio", To: "umbria",
		Epoch: 1}}})
	succeed(t, s, closing(true))
	refused(t, s, directoryOp(wire.OpClaim, "carla", "umbria", 1, false), wire.Conflict, "closing")
	refused(t, s, move, wire.Conflict, "closing")
	owned := func(want int) {
		t.Helper()
		if got, err := s.Owned(t.Context(), "umbria"); err != nil || got != want {
			t.Errorf("umbria owns %d codes, %v, want %d", got, err, want)
		}
	}
	owned(1)
	succeed(t, s, closing(false), move)
	owned(2)
}

// TestOneRefusedOperation: what a region that is closing may not do any more refuses nobody else's
// operation of the same batch. Below VersionOwners it refuses all.
func TestOneRefusedOperation(t *testing.T) {
	for _, version := range []uint32{2, wire.VersionOwners} {
		s := federationOf(t)
		succeed(t, s, command(wire.CmdFinalise, &wire.RaiseVersion{Version: version}),
			members(wire.MemberChange{PutRegion: &wire.RegionChange{ID: "umbria", Tag: 10}}),
			directoryOp(wire.OpClaim, "anna", "umbria", 1, false),
			members(wire.MemberChange{PutRegion: &wire.RegionChange{ID: "umbria", Tag: 10,
				Closing: true}}))
		batch := command(wire.CmdMoveDirectory, &wire.DirectoryOps{List: []wire.DirectoryOp{
			{Kind: wire.OpClaim, Recipient: recipientOf("berto"), Region: "umbria", Epoch: 1},
			{Kind: wire.OpOwn, Recipient: recipientOf("anna"), Region: "umbria", Epoch: 1},
		}})
		if version < wire.VersionOwners {
			refused(t, s, batch, wire.Conflict, "closing")
			continue
		}
		var results wire.DirectoryResults
		if err := wire.Decode(succeed(t, s, batch)[0].Body, &results); err != nil {
			t.Fatal(err)
		}
		if r := results.List[0]; r.Err == nil || r.Err.Code != wire.Conflict || r.OK {
			t.Errorf("a claim by a region that is closing: %+v", r)
		}
		if r := results.List[1]; r.Err != nil || !r.OK || r.Entry.State != wire.Claimed {
			t.Errorf("the arrival of another one: %+v", r)
		}
	}
}
