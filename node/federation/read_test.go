package federation

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// TestClaimRace: of many regions that claim the same code, whatever the order, one holds it.
func TestClaimRace(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	regions := []wire.RegionID{"lazio", "lombardia", "sicilia"}
	succeed(t, s, command(wire.CmdFound, testMap(regions...)))
	for i := range 30 {
		name := fmt.Sprintf("citizen %d", i)
		var commands []wire.Command
		for j := range 6 {
			commands = append(commands,
				directoryOp(wire.OpClaim, name, regions[(i+j)%3], 1, false))
		}
		winners := map[wire.RegionID]int{}
		for j, r := range succeed(t, s, commands...) {
			var d wire.DirectoryResults
			if err := wire.Decode(r.Body, &d); err != nil {
				t.Fatal(err)
			}
			if d.List[0].OK {
				winners[regions[(i+j)%3]]++
			}
		}
		if first := regions[i%3]; len(winners) != 1 || winners[first] != 2 {
			t.Errorf("%s: held by %v, want twice by %s", name, winners, first)
		}
	}
}

// TestReadsBesideApply reads while entries are applied: a key is its service's or nobody's, and
// an entry's region and epoch belong together.
func TestReadsBesideApply(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio", "lombardia")),
		command(wire.CmdPutInstitution, &wire.Institution{ID: "01234567890", Name: "Comune"}),
		command(wire.CmdPutService, &wire.Service{ID: "s", Name: "s", Institution: "01234567890",
			Keys: [2]wire.KeyHash{keyOf("0"), {}}}))
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				key := keyOf(fmt.Sprint(i % 50))
				a, err := s.ServiceByKey(key)
				if err == nil && a.Service.Keys[0] != key ||
					err != nil && wire.AsError(err).Code != wire.NotFound {
					t.Errorf("key %d: %+v, %v", i%50, a, err)
					return
				}
				_, entries, err := s.Resolve(nil, []wire.Recipient{recipientOf(fmt.Sprint(i % 50))})
				if err != nil || (entries[0].State == wire.Claimed) != (entries[0].Epoch == 1) {
					t.Errorf("resolve: %+v, %v", entries, err)
					return
				}
				s.Feed(uint64(i % 60))
			}
		})
	}
	for i := range 50 {
		name := fmt.Sprint(i)
		succeed(t, s, command(wire.CmdSetKey, &wire.SetKey{Service: "s", Hash: keyOf(name)}),
			directoryOp(wire.OpClaim, name, "lazio", 1, false),
			directoryOp(wire.OpOwn, name, "lazio", 1, false))
	}
	close(done)
	readers.Wait()
}

func TestFeed(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	cfg.FeedEvents = 10
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	frame, wait := s.Feed(0)
	if frame.Reset || frame.Index != 0 || len(frame.Events) != 0 {
		t.Errorf("feed of an empty state: %+v", frame)
	}
	succeed(t, s, command(wire.CmdFound, testMap("lazio"))) // index 1
	<-wait
	for i := range 12 { // indexes 2-13
		succeed(t, s, directoryOp(wire.OpClaim, fmt.Sprint(i), "lazio", 1, false))
	}
	for from, want := range map[uint64]struct {
		reset  bool
		events int
	}{0: {true, 0}, 2: {true, 0}, 3: {false, 10}, 10: {false, 3}, 13: {false, 0},
		14: {true, 0}} {
		frame, _ := s.Feed(from)
		if frame.Reset != want.reset || len(frame.Events) != want.events || frame.Index != 13 {
			t.Errorf("feed from %d: reset %v, %d events, index %d; want %+v at 13", from,
				frame.Reset, len(frame.Events), frame.Index, want)
		}
	}
	// An entry without changes moves the index and wakes nobody.
	_, wait = s.Feed(13)
	succeed(t, s, directoryOp(wire.OpClaim, "1", "lazio", 1, false))
	select {
	case <-wait:
		t.Error("woken without a change")
	default:
	}
	if frame, _ := s.Feed(13); frame.Index != 14 || len(frame.Events) != 0 || frame.Reset {
		t.Errorf("after an entry without changes: %+v", frame)
	}
}

// TestFeedFrames reads many changes in frames: none is missing, none comes twice, and those of an
// entry come together.
func TestFeedFrames(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio")))
	want := 0
	claim := func(n int) {
		var ops wire.DirectoryOps
		for range n {
			ops.List = append(ops.List, wire.DirectoryOp{Kind: wire.OpClaim, Epoch: 1,
				Recipient: recipientOf(fmt.Sprint(want)), Region: "lazio"})
			want++
		}
		succeed(t, s, command(wire.CmdDirectory, &ops))
	}
	for range 30 {
		claim(100)
	}
	seen := map[wire.Recipient]bool{}
	from, frames := uint64(1), 0
	for {
		frame, wait := s.Feed(from)
		if frame.Reset || len(frame.Events) > wire.FeedEventsMax {
			t.Fatalf("frame: reset %v, %d events", frame.Reset, len(frame.Events))
		}
		if len(frame.Events)%100 != 0 {
			t.Fatalf("a frame of %d events cuts an entry", len(frame.Events))
		}
		for _, e := range frame.Events {
			if seen[e.Recipient] {
				t.Fatal("a change came twice")
			}
			seen[e.Recipient] = true
		}
		from = frame.Index
		frames++
		if from == s.Position().Index {
			break
		}
		<-wait // closed already
	}
	if len(seen) != want || frames != 3 {
		t.Errorf("%d changes in %d frames, want %d in 3", len(seen), frames, want)
	}
	claim(wire.FeedEventsMax + 1)
	claim(1)
	if frame, _ := s.Feed(from); !frame.Reset {
		t.Errorf("an entry with more changes than a frame holds: %d events", len(frame.Events))
	}
}

func TestResolveBounds(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	succeed(t, s, command(wire.CmdFound, testMap("lazio")))
	many := make([]wire.Recipient, wire.ResolveMax+1)
	if _, _, err := s.Resolve(nil, many); wire.AsError(err).Code != wire.TooLarge {
		t.Errorf("resolve of %d: %v", len(many), err)
	}
	index, entries, err := s.Resolve(make([]wire.DirectoryEntry, 1), many[1:])
	if err != nil || index != 1 || len(entries) != wire.ResolveMax+1 {
		t.Errorf("resolve: index %d, %d entries, %v", index, len(entries), err)
	}
	if _, err := s.ServiceByKey(wire.KeyHash{}); wire.AsError(err).Code != wire.NotFound {
		t.Errorf("the zero key: %v", err)
	}
	if _, err := s.Institution("01234567890"); wire.AsError(err).Code != wire.NotFound {
		t.Errorf("an unknown institution: %v", err)
	}
}

func TestNewService(t *testing.T) {
	spec := wire.ServiceSpec{Service: wire.Service{ID: "01SVC", Institution: "01234567890",
		Name: "Anagrafe", AuthorizedCIDRs: []string{"10.1.2.3", "10.0.0.0/8"}},
		Recipients: []string{"RCCMNL83S18D969H", "MRNLCU00A01H501J", "RCCMNL83S18D969H"}}
	s, err := NewService(spec, testHasher)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.AuthorizedCIDRs, " "); got != "10.1.2.3/32 10.0.0.0/8" {
		t.Errorf("address ranges %q", got)
	}
	if len(s.AuthorizedRecipients) != 2 || !s.Authorizes(testHasher.Recipient("MRNLCU00A01H501J")) {
		t.Errorf("%d authorized recipients", len(s.AuthorizedRecipients))
	}
	if strings.Contains(string(wire.Encode(s)), "RCCMNL83") {
		t.Error("a fiscal code in clear")
	}
	codes, err := Unseal(testHasher.Key(), s)
	if err != nil || fmt.Sprint(codes) != "[RCCMNL83S18D969H MRNLCU00A01H501J]" {
		t.Errorf("unsealed %d codes, %v", len(codes), err)
	}
	moved := *s
	moved.ID = "02SVC"
	if _, err := Unseal(testHasher.Key(), &moved); err == nil {
		t.Error("a list sealed for another service was opened")
	}
	if _, err := Unseal(wire.DirectoryKey{9}, s); err == nil {
		t.Error("a list sealed under another key was opened")
	}
	for i := range s.SealedRecipients {
		bad := *s
		bad.SealedRecipients = append([]byte(nil), s.SealedRecipients...)
		bad.SealedRecipients[i] ^= 1
		if _, err := Unseal(testHasher.Key(), &bad); err == nil {
			t.Fatalf("damage at byte %d went unnoticed", i)
		}
	}
}

func TestNewServiceRefuses(t *testing.T) {
	for name, change := range map[string]func(*wire.ServiceSpec){
		"no id":          func(s *wire.ServiceSpec) { s.Service.ID = "" },
		"no institution": func(s *wire.ServiceSpec) { s.Service.Institution = "12" },
		"no name":        func(s *wire.ServiceSpec) { s.Service.Name = "" },
		"bad UTF-8":      func(s *wire.ServiceSpec) { s.Service.Department = "\xff" },
		"long name":      func(s *wire.ServiceSpec) { s.Service.Name = strings.Repeat("x", 2000) },
		"amount": func(s *wire.ServiceSpec) {
			s.Service.MaxAllowedPaymentAmount = amountMax + 1
		},
		"lower case": func(s *wire.ServiceSpec) { s.Recipients = []string{"rccmnl83s18d969h"} },
		"recipients": func(s *wire.ServiceSpec) { s.Recipients = make([]string, wire.ListMax+1) },
		"hashes": func(s *wire.ServiceSpec) {
			s.Service.AuthorizedRecipients = make([]wire.Recipient, 1)
		},
		"IPv6": func(s *wire.ServiceSpec) {
			s.Service.AuthorizedCIDRs = []string{"::1/128"}
		},
		"octet": func(s *wire.ServiceSpec) {
			s.Service.AuthorizedCIDRs = []string{"10.0.0.256"}
		},
		"mask": func(s *wire.ServiceSpec) {
			s.Service.AuthorizedCIDRs = []string{"10.0.0.0/33"}
		},
		"scope": func(s *wire.ServiceSpec) { s.Service.Metadata.Scope = "REGIONAL" },
	} {
		spec := wire.ServiceSpec{Service: wire.Service{ID: "s", Name: "n", Institution: "01234567890"}}
		if _, err := NewService(spec, testHasher); err != nil {
			t.Fatal(err)
		}
		change(&spec)
		_, err := NewService(spec, testHasher)
		if code := wire.AsError(err); code == nil || code.Code != wire.Malformed &&
			code.Code != wire.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(strings.ToUpper(err.Error()), "RCCMNL83") {
			t.Errorf("%s: the error shows a fiscal code", name)
		}
	}
}

// FuzzNewService: whatever a spec says, the service it makes is one that the state takes.
func FuzzNewService(f *testing.F) {
	f.Add(wire.Encode(&wire.ServiceSpec{Service: wire.Service{ID: "s", Name: "n",
		Institution: "01234567890"}, Recipients: []string{"RCCMNL83S18D969H"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var spec wire.ServiceSpec
		if wire.Decode(b, &spec) != nil {
			return
		}
		s, err := NewService(spec, testHasher)
		if err != nil {
			return
		}
		if err := validateService(s); err != nil {
			t.Fatal(err)
		}
		if codes, err := Unseal(testHasher.Key(), s); err != nil ||
			len(codes) != len(s.AuthorizedRecipients) {
			t.Fatalf("unsealed %d codes, %v", len(codes), err)
		}
	})
}

func TestFoundRefuses(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	defer s.Close()
	for name, c := range map[string]struct {
		change func(*wire.Map)
		want   wire.Code
	}{
		"other federation": {func(m *wire.Map) { m.Federation = "europa" }, wire.WrongFederation},
		"no address":       {func(m *wire.Map) { m.Nodes[0].Addr = "" }, wire.Malformed},
		"long address": {func(m *wire.Map) {
			m.Nodes[0].Addr = strings.Repeat("a", 300)
		}, wire.Malformed},
		"gateway's region": {func(m *wire.Map) {
			m.Gateways = []wire.Gateway{{ID: "g", Region: "x"}}
		}, wire.Malformed},
		"gateway twice": {func(m *wire.Map) {
			m.Gateways = []wire.Gateway{{ID: "g", Region: "lazio"}, {ID: "g", Region: "lazio"}}
		}, wire.Malformed},
		"slot of nobody": {func(m *wire.Map) { m.SlotOwners[7] = 9 }, wire.Malformed},
	} {
		m := testMap("lazio")
		c.change(m)
		r := apply(t, s, command(wire.CmdFound, m))
		if r[0].Err == nil || r[0].Err.Code != c.want {
			t.Errorf("%s: %v, want %v", name, r[0].Err, c.want)
		}
	}
	if _, ok := s.Map(); ok {
		t.Error("a refused map was taken")
	}
}

// BenchmarkResolve128 looks up 128 codes, in a directory that is one table, and in one whose
// tables are still being merged.
func BenchmarkResolve128(b *testing.B) {
	for _, citizens := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("citizens=%d", citizens), func(b *testing.B) {
			benchmarkResolve(b, citizens)
		})
	}
}

func benchmarkResolve(b *testing.B, citizens int) {
	s := mustOpen(b, vfs.NewMem())
	defer s.Close()
	succeed(b, s, command(wire.CmdFound, testMap("lazio", "lombardia")))
	list := make([]wire.Recipient, citizens)
	for i := 0; i < citizens; i += 1000 {
		var ops wire.DirectoryOps
		for j := i; j < i+1000; j++ {
			list[j] = testHasher.Recipient(fiscalcode.Code(fmt.Sprintf("%016d", j)))
			ops.List = append(ops.List, wire.DirectoryOp{Kind: wire.OpClaim, Recipient: list[j],
				Region: "lazio"}, wire.DirectoryOp{Kind: wire.OpOwn, Recipient: list[j],
				Region: "lazio", Epoch: 1, Active: true})
		}
		succeed(b, s, command(wire.CmdDirectory, &ops))
	}
	if _, err := s.Flush(); err != nil {
		b.Fatal(err)
	}
	var dst []wire.DirectoryEntry
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := i * 128 % (citizens - 128)
		var err error
		if _, dst, err = s.Resolve(dst[:0], list[at:at+128]); err != nil {
			b.Fatal(err)
		}
	}
}
