package region

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

var update = flag.Bool("update", false, "rewrite the expected results in testdata")

// TestScenarios runs the stories in testdata. A story is a sequence of steps; below a step, set
// off by "=>", stands what happened. Run with -update to write down what happens now.
//
// People and services are called by any word; "m1" and the like name messages. Steps:
//
//	region <name> [anchor]             further steps happen here; an anchor decides for the
//	                                   codes that nobody has claimed
//	time <duration>                    lets time pass
//	restart                            the node restarts
//	claim <who> / import <who> [from <region>] / abort <who> / release <who> to <region>
//	move <who> to <region> | fence | done | abort | undo    in the old owner's log
//	move <who> arrive | refuse         in the new owner's log
//	move <who> erase                   what remains of who moved away goes, when it is due
//	login <who> [for <duration>] / logout <who>
//	accept <who>                       accepts the terms of service
//	set <who> [mode=…] [inbox=on|off] [block=<service>] [unblock] [version=<n>]
//	prefer <who> <service> on|off [version=<n>]
//	submit                             followed by one line per record, indented:
//	  <m> <service> -> <who> "text" [key=<k>] [digest]
//	inbox <who> [size=<n>] [before=<m>] [after=<m>]
//	read <who> <m>                     the citizen opens a message
//	find <m>                           the sender asks after a message
//	allowed <who> <service>            the sender asks whether it may write
//	profile <who> / preference <who> <service>
//	pending                            work for the leader
//	expire                             what is past its time goes
//	erase                              refused content leaves the blocks, a month later
//	texts                              how often each word occurs in stored blocks
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
			got := newStory(t).run(string(want))
			if *update {
				err := os.WriteFile(file, []byte(got), 0o644)
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("the story went another way; got:\n%s", firstDifference(got, string(want)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d: %s\nwant %d lines of which this is: %s", i+1, g[i], len(w),
				strings.Join(w[i:min(i+1, len(w))], ""))
		}
	}
	return "fewer lines than wanted"
}

// story runs the steps of one file.
type story struct {
	t         *testing.T
	coder     *wire.Coder
	regions   map[string]*fixture
	names     []string // of regions, in order
	at        *fixture // where steps happen
	now       wire.Time
	minted    uint64
	messages  map[string]wire.Record
	people    map[wire.Recipient]string
	handovers map[string]wire.RowPage
	moves     map[wire.Recipient]wire.Move
	out       bytes.Buffer
}

func newStory(t *testing.T) *story {
	return &story{t: t, coder: newCoder(t), regions: map[string]*fixture{}, now: start,
		messages: map[string]wire.Record{}, people: map[wire.Recipient]string{},
		handovers: map[string]wire.RowPage{}, moves: map[wire.Recipient]wire.Move{}}
}

func (s *story) run(text string) string {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if strings.HasPrefix(line, "  =>") {
			continue // of an earlier run
		}
		s.out.WriteString(line + "\n")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var more []string
		for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  ") &&
			!strings.HasPrefix(lines[i+1], "  =>") {
			i++
			more = append(more, strings.TrimSpace(lines[i]))
			s.out.WriteString(lines[i] + "\n")
		}
		s.step(parseWords(line), more)
	}
	return strings.TrimRight(s.out.String(), "\n") + "\n"
}

func (s *story) say(format string, args ...any) {
	fmt.Fprintf(&s.out, "  => "+format+"\n", args...)
}

// words are a step's arguments; options are those of the form name=value or a bare word later on.
type words struct {
	args    []string
	options map[string]string
}

func parseWords(line string) words {
	w := words{options: map[string]string{}}
	for _, f := range strings.Fields(line) {
		if name, value, ok := strings.Cut(f, "="); ok {
			w.options[name] = value
			continue
		}
		w.args = append(w.args, f)
	}
	return w
}

func (w words) arg(i int) string {
	if i < len(w.args) {
		return w.args[i]
	}
	return ""
}

func (w words) has(word string) bool {
	for _, a := range w.args {
		if a == word {
			return true
		}
	}
	return false
}

func (s *story) who(name string) (fiscalcode.Code, wire.Recipient) {
	code := codeOf(name)
	r := wire.NewHasher(testKey).Recipient(code)
	s.people[r] = name
	return code, r
}

func (s *story) step(w words, more []string) {
	s.t.Helper()
	if w.arg(0) == "region" {
		s.region(w)
		return
	}
	f := s.at
	f.now, f.minted = s.now, s.minted
	switch w.arg(0) {
	case "time":
		d, err := time.ParseDuration(w.arg(1))
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
		return
	case "restart":
		f.restart()
	case "claim", "import", "abort", "release":
		s.ownership(f, w)
	case "move":
		s.moving(f, w)
	case "login", "logout", "accept", "set", "prefer":
		s.citizen(f, w)
	case "submit":
		s.submit(f, more)
	case "expire", "erase", "pending", "texts":
		s.upkeep(f, w)
	default:
		s.read(f, w)
	}
	s.minted = f.minted
	f.checkCaches()
}

func (s *story) region(w words) {
	name := w.arg(1)
	if s.regions[name] == nil {
		s.regions[name] = openFixture(s.t, testConfig(vfs.NewMem(), wire.RegionID(name), s.coder))
		s.names = append(s.names, name)
	}
	s.at = s.regions[name]
	s.at.now = s.now
	if w.has("anchor") {
		s.at.must(wire.CmdGrantSlots, allSlots())
	}
}

// result says what became of a command.
func (s *story) result(r wire.Result, ok string, args ...any) bool {
	if r.Err != nil {
		s.refused(r.Err)
		return false
	}
	s.say(ok, args...)
	return true
}

func (s *story) refused(err error) {
	e := wire.AsError(err)
	text := e.Code.String()
	if e.Region != "" {
		text += fmt.Sprintf(" to %s at epoch %d", e.Region, e.Epoch)
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	s.say("%s", text)
}

func (s *story) ownership(f *fixture, w words) {
	_, r := s.who(w.arg(1))
	switch w.arg(0) {
	case "claim":
		res := f.do(wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: r})
		var own wire.Ownership
		if res.Err == nil && wire.Decode(res.Body, &own) == nil && own.State == wire.Owned {
			s.say("owned at epoch %d", own.Epoch)
			return
		}
		s.result(res, "claiming")
	case "abort":
		s.result(f.do(wire.CmdClaimAbort, &wire.ClaimAbort{Recipient: r}), "the claim is over")
	case "release":
		to := wire.RegionID(w.arg(3))
		res := f.do(wire.CmdRelease, &wire.Release{Recipient: r, To: to, Epoch: 1})
		var h wire.RowPage
		if res.Err == nil {
			if err := wire.Decode(res.Body, &h); err != nil {
				s.t.Fatal(err)
			}
			s.handovers[w.arg(1)] = h
		}
		s.result(res, "released, %d rows handed over", len(h.Rows))
	case "import":
		m := &wire.Import{Recipient: r, Epoch: 1}
		if w.has("from") {
			m.Page = s.handovers[w.arg(1)]
		}
		s.result(f.do(wire.CmdImport, m), "owned")
	}
}
