package federation

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

var update = flag.Bool("update", false, "write what the scenarios give into testdata")

// TestScenarios plays testdata/*.txt. A line that begins with ">" is a command, and adjacent ones
// are one log entry; "?" asks the replica something; the indented lines after them are the
// answers, one for each command. Everything else is for the reader.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
			}
		})
	}
}

type player struct {
	t     *testing.T
	s     *State
	names map[string]string // of hashes, for people
	out   strings.Builder
}

func play(t *testing.T, script string) string {
	p := &player{t: t, s: mustOpen(t, vfs.NewMem()), names: map[string]string{}}
	defer p.s.Close()
	var pending []string
	flush := func() {
		if len(pending) > 0 {
			p.entry(pending)
			pending = nil
		}
	}
	for _, line := range strings.Split(strings.TrimSuffix(script, "\n"), "\n") {
		if strings.HasPrefix(line, "  ") {
			continue // an answer
		}
		if rest, ok := strings.CutPrefix(line, "> "); ok {
			p.out.WriteString(line + "\n")
			pending = append(pending, rest)
			continue
		}
		flush()
		p.out.WriteString(line + "\n")
		if rest, ok := strings.CutPrefix(line, "? "); ok {
			p.ask(strings.Fields(rest))
		}
	}
	flush()
	return p.out.String()
}

func (p *player) say(format string, args ...any) { fmt.Fprintf(&p.out, "  "+format+"\n", args...) }

func (p *player) entry(lines []string) {
	var commands []wire.Command
	for _, line := range lines {
		commands = append(commands, p.parse(strings.Fields(line)))
	}
	for i, r := range apply(p.t, p.s, commands...) {
		var answer wire.DirectoryResults
		switch {
		case r.Err != nil:
			p.say("%v", r.Err)
		case commands[i].Kind != wire.CmdDirectory && commands[i].Kind != wire.CmdMoveDirectory:
			p.say("ok")
		case wire.Decode(r.Body, &answer) != nil:
			p.t.Fatal("answer cannot be decoded")
		default:
			for _, d := range answer.List {
				p.say("%s: %s", map[bool]string{true: "holds", false: "refused"}[d.OK],
					showEntry(d.Entry))
			}
		}
	}
}

func showEntry(e wire.DirectoryEntry) string {
	s := []string{"unclaimed", "claim pending", "claimed", "moving"}[e.State]
	if e.Region != "" {
		s += fmt.Sprintf(", %s, epoch %d", e.Region, e.Epoch)
	}
	if e.Active {
		s += ", active"
	}
	if e.To != "" {
		s += ", to " + string(e.To)
	}
	return s
}

// parse reads: found REGION…; institution ID NAME SCOPE…; service ID INSTITUTION KEY KEY [CIDR…];
// key SERVICE primary|secondary KEY; claim|own|active|inactive CITIZEN REGION EPOCH;
// move CITIZEN REGION EPOCH TO; abort CITIZEN REGION EPOCH; order CITIZEN TO.
func (p *player) parse(w []string) wire.Command {
	switch w[0] {
	case "found":
		var regions []wire.RegionID
		for _, r := range w[1:] {
			regions = append(regions, wire.RegionID(r))
		}
		return command(wire.CmdFound, testMap(regions...))
	case "institution":
		return command(wire.CmdPutInstitution, &wire.Institution{ID: wire.InstitutionID(w[1]),
			Name: w[2], Scopes: w[3:]})
	case "service":
		return command(wire.CmdPutService, &wire.Service{
			ID: wire.ServiceID(w[1]), Name: w[1], Institution: wire.InstitutionID(w[2]),
			Keys:            [2]wire.KeyHash{p.key(w[3]), p.key(w[4])},
			AuthorizedCIDRs: w[5:]})
	case "key":
		k := &wire.SetKey{Service: wire.ServiceID(w[1]), Hash: p.key(w[3])}
		if w[2] == "secondary" {
			k.Name = wire.SecondaryKey
		}
		return command(wire.CmdSetKey, k)
	}
	if w[0] == "order" {
		return command(wire.CmdMoveOrder, &wire.MoveOrder{Recipient: p.citizen(w[1]),
			To: wire.RegionID(w[2])})
	}
	epoch, err := strconv.Atoi(w[3])
	kind, ok := map[string]wire.DirectoryOpKind{"claim": wire.OpClaim, "own": wire.OpOwn,
		"active": wire.OpSetActive, "inactive": wire.OpSetActive, "move": wire.OpMove,
		"abort": wire.OpMoveAborted}[w[0]]
	if err != nil || !ok {
		p.t.Fatalf("bad command %q", w)
	}
	p.citizen(w[1])
	if kind >= wire.OpMove {
		op := wire.DirectoryOp{Kind: kind, Recipient: recipientOf(w[1]),
			Region: wire.RegionID(w[2]), Epoch: wire.Epoch(epoch)}
		if kind == wire.OpMove {
			op.To = wire.RegionID(w[4])
		}
		return command(wire.CmdMoveDirectory, &wire.DirectoryOps{List: []wire.DirectoryOp{op}})
	}
	return directoryOp(kind, w[1], wire.RegionID(w[2]), wire.Epoch(epoch), w[0] == "active")
}

func (p *player) key(name string) wire.KeyHash {
	h := keyOf(name)
	p.names[string(h[:])] = name
	return h
}

func (p *player) citizen(name string) wire.Recipient {
	r := recipientOf(name)
	p.names[string(r[:])] = name
	return r
}

// ask reads: resolve CITIZEN…; directory CITIZEN; whose KEY; service ID; feed INDEX; rows; map.
func (p *player) ask(w []string) {
	switch w[0] {
	case "resolve":
		var list []wire.Recipient
		for _, name := range w[1:] {
			list = append(list, p.citizen(name))
		}
		_, entries, err := p.s.Resolve(nil, list)
		if err != nil {
			p.say("%v", err)
		}
		for i := range entries {
			p.say("%s: %s", w[i+1], showEntry(entries[i]))
		}
	case "directory":
		e, err := p.s.Directory(p.citizen(w[1]))
		if err != nil {
			p.say("%v", err)
			return
		}
		p.say("%s", showEntry(e))
	case "whose":
		p.showAccess(p.s.ServiceByKey(p.key(w[1])))
	case "service":
		p.showAccess(p.s.ServiceByID(wire.ServiceID(w[1])))
	case "feed":
		from, err := strconv.Atoi(w[1])
		if err != nil {
			p.t.Fatal(err)
		}
		p.showFeed(uint64(from))
	case "map":
		m, ok := p.s.Map()
		if !ok {
			p.say("none")
			return
		}
		p.say("%d regions, %d nodes", len(m.Regions), len(m.Nodes))
	case "rows":
		p.showRows()
	default:
		p.t.Fatalf("bad question %q", w)
	}
}

func (p *player) showAccess(a *wire.ServiceAccess, err error) {
	if err != nil {
		p.say("%v", err)
		return
	}
	p.say("service %s version %d of %s (%s), scopes %v, addresses %v, keys %s %s", a.Service.ID,
		a.Service.Version, a.Institution.ID, a.Institution.Name, a.Institution.Scopes,
		a.Service.AuthorizedCIDRs, p.keyName(a.Service.Keys[0]), p.keyName(a.Service.Keys[1]))
}

func (p *player) keyName(k wire.KeyHash) string {
	if k == (wire.KeyHash{}) {
		return "-"
	}
	return p.names[string(k[:])]
}

func (p *player) showFeed(from uint64) {
	frame, _ := p.s.Feed(from)
	p.say("up to %d, reset %v", frame.Index, frame.Reset)
	for _, e := range frame.Events {
		switch {
		case e.Entry != nil:
			p.say("%s: %s", p.names[string(e.Recipient[:])], showEntry(*e.Entry))
		case e.Service != "":
			var keys []string
			for _, k := range e.Keys {
				keys = append(keys, p.keyName(k))
			}
			p.say("service %s, keys %s", e.Service, strings.Join(keys, " "))
		case e.Institution != "":
			p.say("institution %s", e.Institution)
		case e.Map != nil:
			p.say("map")
		}
	}
}

func (p *player) showRows() {
	keys, values := rowsOf(p.t, p.s)
	for _, k := range keys {
		name := k
		if rest, ok := strings.CutPrefix(k, "d/"); ok {
			name = "d/" + p.names[rest]
		} else if rest, ok := strings.CutPrefix(k, "k/"); ok {
			name = "k/" + p.names[rest] + " → " + values[k]
		}
		p.say("%s, %d+%d bytes", name, len(k), len(values[k]))
	}
}
