package federation

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

func withMap(t *testing.T) *State {
	t.Helper()
	s := mustOpen(t, vfs.NewMem())
	t.Cleanup(func() { s.Close() })
	succeed(t, s, command(wire.CmdFound, testMap("lazio", "sicilia")))
	return s
}

func trustOf(t *testing.T, s *State) *wire.Trust {
	t.Helper()
	m, ok := s.Map()
	if !ok {
		t.Fatal("no map")
	}
	return &m.Trust
}

// unmoved applies a command that must change nothing.
func unmoved(t *testing.T, s *State, want wire.Code, c wire.Command) {
	t.Helper()
	before, _ := s.Map()
	r := apply(t, s, c)[0]
	if after, _ := s.Map(); r.Err == nil || !errors.Is(r.Err, want) || after != before {
		t.Errorf("got %v, want %s and the map as it was", r.Err, want)
	}
}

func TestAuthoritiesAreAddedAndRemoved(t *testing.T) {
	s := withMap(t)
	add := func(name string) wire.Command {
		return command(wire.CmdAddAuthority, &wire.Authority{DER: []byte(name)})
	}
	remove := func(name string) wire.Command {
		return command(wire.CmdRemoveAuthority,
			&wire.AuthorityRef{Fingerprint: wire.FingerprintOf([]byte(name))})
	}
	succeed(t, s, add("old"), add("old"), add("new"), remove("never there"))
	m, _ := s.Map()
	if got := m.Trust.Authorities; len(got) != 2 || string(got[0]) != "old" || m.Version != 3 {
		t.Errorf("got %q at version %d, want both, each once, in three versions", got, m.Version)
	}
	succeed(t, s, remove("old"), remove("old"))
	unmoved(t, s, wire.Conflict, remove("new"))
	if got := trustOf(t, s).Authorities; len(got) != 1 || string(got[0]) != "new" {
		t.Errorf("got %q, want the last one to stay", got)
	}
	unmoved(t, s, wire.TooLarge, add(""))
	unmoved(t, s, wire.TooLarge, add(string(make([]byte, wire.AuthorityBytesMax+1))))
	for i := 1; i < wire.AuthoritiesMax; i++ {
		succeed(t, s, add(fmt.Sprint(i)))
	}
	unmoved(t, s, wire.TooLarge, add("one more"))
}

func revocation(id string, before wire.Time) wire.Command {
	return command(wire.CmdRevoke, &wire.Revocation{Identity: id, Before: before})
}

func TestRevocations(t *testing.T) {
	s := withMap(t)
	now := wire.Time(1_700_000_000_000)
	succeed(t, s, revocation("spiffe://italia/operator/b", now),
		revocation("spiffe://italia/operator/a", now),
		revocation("spiffe://italia/operator/b", now-1), // said before: it stays
		revocation("spiffe://italia/operator/a", now+1))
	got := trustOf(t, s).Revoked
	want := []wire.Revocation{{Identity: "spiffe://italia/operator/a", Before: now + 1},
		{Identity: "spiffe://italia/operator/b", Before: now}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	unmoved(t, s, wire.Malformed, revocation("", now))
	unmoved(t, s, wire.Malformed, revocation("spiffe://italia/operator/a", 0))
	unmoved(t, s, wire.Malformed, revocation("spiffe://italia/operator/a",
		now.Add(wire.SkewMax+time.Minute)))
	long := "spiffe://italia/operator/" + string(bytes.Repeat([]byte("x"), wire.IdentityBytesMax))
	if r := apply(t, s, revocation(long, now))[0]; r.Err == nil {
		t.Error("an identity of any length is revoked")
	}
}

// TestOldRevocationsAreForgotten fills the list, and finds room when no certificate can be left
// that the first ones are about.
func TestOldRevocationsAreForgotten(t *testing.T) {
	s := withMap(t)
	now := wire.Time(1_700_000_000_000)
	for i := range wire.RevokedMax {
		at := now
		if i < 2 {
			at = now.Add(-time.Hour)
		}
		succeed(t, s, revocation(fmt.Sprintf("spiffe://italia/operator/o%04d", i), at))
	}
	more := revocation("spiffe://italia/operator/more", now)
	unmoved(t, s, wire.TooLarge, more)
	// One that is there already finds its place.
	succeed(t, s, revocation("spiffe://italia/operator/o0005", now+1))

	later := entryOf(s.Position().Index+1, more)
	e, err := wire.DecodeEntry(later.Data)
	if err != nil {
		t.Fatal(err)
	}
	at := now.Add(wire.CertificateLifeMax - time.Minute)
	later.Data = wire.EncodeEntry(wire.CommandsEntry, at, e.Body)
	results, err := s.Apply([]wire.LogEntry{later})
	if err != nil {
		t.Fatal(err)
	}
	if r := results[0].(*wire.Results).List[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	list := trustOf(t, s).Revoked
	if len(list) != wire.RevokedMax-1 || list[1].Identity != "spiffe://italia/operator/o0002" {
		t.Errorf("got %d revocations beginning with %s, want the two oldest forgotten",
			len(list), list[1].Identity)
	}
}

func TestTrustOfAFoundingMapIsChecked(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	for name, spoil := range map[string]func(*wire.Trust){
		"an authority of no bytes": func(m *wire.Trust) { m.Authorities = [][]byte{{}} },
		"too many authorities": func(m *wire.Trust) {
			m.Authorities = make([][]byte, wire.AuthoritiesMax+1)
		},
		"a revocation of nobody": func(m *wire.Trust) { m.Revoked = []wire.Revocation{{}} },
	} {
		m := testMap("lazio")
		spoil(&m.Trust)
		if r := apply(t, s, command(wire.CmdFound, m))[0]; r.Err == nil {
			t.Errorf("%s: the map is accepted", name)
		}
	}
}

func TestWatchMap(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	_, ok, changed := s.WatchMap()
	if ok {
		t.Fatal("a map before the founding")
	}
	succeed(t, s, command(wire.CmdFound, testMap("lazio")))
	<-changed
	first, _, changed := s.WatchMap()
	succeed(t, s, directoryOp(wire.OpClaim, "somebody", "lazio", 1, false)) // no change of the map
	select {
	case <-changed:
		t.Error("woken without another map")
	default:
	}
	succeed(t, s, revocation("spiffe://italia/operator/a", 1))
	<-changed
	if m, _, _ := s.WatchMap(); m == first || len(m.Trust.Revoked) != 1 {
		t.Error("the map is the one from before")
	}
}

// TestBoundsOfAuthorities: an authority is bound to regions from version 3 on, anew each time that
// it is added, and its bounds go with it.
func TestBoundsOfAuthorities(t *testing.T) {
	s := withMap(t)
	add := func(regions ...wire.RegionID) {
		t.Helper()
		succeed(t, s, command(wire.CmdAddAuthority, &wire.Authority{DER: []byte("one"), Regions: regions}))
	}
	want := func(regions ...wire.RegionID) {
		t.Helper()
		var got []wire.RegionID
		for _, b := range trustOf(t, s).Bounds {
			got = append(got, b.Regions...)
		}
		if !slices.Equal(got, regions) {
			t.Errorf("got %v, want %v", got, regions)
		}
	}
	succeed(t, s, command(wire.CmdFinalise, &wire.RaiseVersion{Version: 2}))
	add("lazio")
	want() // programs of version 2 would not see it
	succeed(t, s, command(wire.CmdFinalise, &wire.RaiseVersion{Version: 3}))
	add("lazio")
	want("lazio")
	add("sicilia", "lazio")
	want("sicilia", "lazio")
	unmoved(t, s, wire.NotFound, command(wire.CmdAddAuthority,
		&wire.Authority{DER: []byte("one"), Regions: []wire.RegionID{"molise"}}))
	add()
	want()
	add("lazio")
	succeed(t, s, command(wire.CmdAddAuthority, &wire.Authority{DER: []byte("two")}),
		command(wire.CmdRemoveAuthority, &wire.AuthorityRef{Fingerprint: wire.FingerprintOf([]byte("one"))}))
	want()
}
