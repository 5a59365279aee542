package process_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/internal/sender"
	"github.com/staffetta/staffetta/internal/synthetic"
)

// mailing is a file of messages and who they are for, line by line.
type mailing struct {
	path       string
	recipients []localfile.Citizen
}

// newMailing invents n messages for the federation's citizens, by turns.
func newMailing(t *testing.T, file *localfile.File, seed uint64, n int) *mailing {
	t.Helper()
	m := &mailing{path: filepath.Join(t.TempDir(), "messages.ndjson")}
	invent := synthetic.NewMessagesOf(seed, 600)
	var text []byte
	for i := range n {
		to := file.Citizens[i%len(file.Citizens)]
		message := invent.Next()
		text = append(message.AppendJSON(text, fiscalcode.Code(to.FiscalCode)), '\n')
		m.recipients = append(m.recipients, to)
	}
	if err := os.WriteFile(m.path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

// sending is a `staffetta send` under way.
type sending struct {
	t       *testing.T
	results string
	cmd     *exec.Cmd
	out     output
}

// send begins to send the mailing. results may be of an earlier run, which then goes on.
func (m *mailing) send(t *testing.T, file *localfile.File, results string) *sending {
	t.Helper()
	s := &sending{t: t, results: results}
	s.cmd = exec.Command(staffetta, "send", "--gateway", file.Gateways[0].URL, "--file", m.path,
		"--results", results, "--concurrency", "8")
	s.cmd.Env = append(os.Environ(), "STAFFETTA_KEY="+file.Services[0].PrimaryKey)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	return s
}

// lines are the results so far.
func (s *sending) lines() (list []sender.Result) {
	s.t.Helper()
	b, err := os.ReadFile(s.results)
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(b) {
		var r sender.Result
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // being written
		}
		if err := json.Unmarshal(line, &r); err != nil {
			s.t.Fatalf("results: %v", err)
		}
		list = append(list, r)
	}
	return list
}

// awaitUnderWay waits until some messages are acknowledged, and fails when all are.
func (s *sending) awaitUnderWay(of int) {
	s.t.Helper()
	done := 0
	await(s.t, "some messages are sent", func() bool { done = len(s.lines()); return done >= 50 })
	if done == of {
		s.t.Fatal("everything was sent before anything was killed: the test proves nothing")
	}
}

// wait waits until the sender has ended, which must be without a failed line.
func (s *sending) wait() []sender.Result {
	s.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	await(s.t, "the sender has ended", func() bool {
		select {
		case err := <-ended:
			if err != nil {
				s.t.Errorf("send: %v\n%s", err, &s.out)
			}
			return true
		default:
			return false
		}
	})
	return s.lines()
}

// again sends the same file once more, without the results, until every line has its last verdict,
// and returns these: the first ones, but for lines that were THROTTLED, since the spool took them
// while their region was away. What an institution reads of such a message is its last verdict too.
func (m *mailing) again(t *testing.T, file *localfile.File, first []sender.Result) (
	last []sender.Result) {
	t.Helper()
	await(t, "no message waits for a region", func() bool {
		last = m.send(t, file, filepath.Join(t.TempDir(), "again.ndjson")).wait()
		return !slices.ContainsFunc(last, throttled)
	})
	if len(last) != len(first) {
		t.Fatalf("%d results of lines that had %d", len(last), len(first))
	}
	waited := 0
	for i, r := range first {
		switch {
		case throttled(r) && m.recipients[i].State == localfile.Unknown:
			t.Errorf("line %d: what is for nobody known was given to a spool", i+1)
		case throttled(r):
			waited++
			m.awaitVerdict(t, file, i, r.ID, last[i].Status)
		case r != last[i]:
			t.Fatalf("line %d sent again: got %+v, want %+v", i+1, last[i], r)
		}
	}
	if waited > 0 {
		t.Logf("%d of %d messages waited for a region that was away", waited, len(first))
	}
	return last
}

func throttled(r sender.Result) bool { return r.Status == "THROTTLED" }

// awaitVerdict reads a line's message until it is not THROTTLED any more.
func (m *mailing) awaitVerdict(t *testing.T, file *localfile.File, line int, id, want string) {
	t.Helper()
	url := file.Gateways[0].URL + "/api/v1/messages/" + m.recipients[line].FiscalCode + "/" + id
	var got struct{ Status string }
	await(t, "the spool brings what it took", func() bool {
		insist(t, http.StatusOK, http.MethodGet, url, nil, keyHeader,
			file.Services[0].PrimaryKey).decode(t, &got)
		return got.Status != "THROTTLED"
	})
	if got.Status != want {
		t.Errorf("line %d is %s, and %s when it is sent again", line+1, got.Status, want)
	}
}

// ledger is what institutions were told: the ids that each citizen's inbox must hold.
type ledger map[string][]string

// note checks that every line has the verdict that its recipient deserves and notes what was
// acknowledged.
func (l ledger) note(t *testing.T, m *mailing, results []sender.Result) {
	t.Helper()
	if len(results) != len(m.recipients) {
		t.Fatalf("%d results of %d lines", len(results), len(m.recipients))
	}
	for i, r := range results {
		to := m.recipients[i]
		status, reason := "PROCESSED", ""
		switch to.State {
		case localfile.NotAccepted:
			status, reason = "REJECTED", "SERVICE_NOT_ALLOWED"
		case localfile.Unknown:
			status, reason = "REJECTED", "USER_NOT_FOUND"
		}
		if r.HTTPStatus != http.StatusCreated || r.Status != status ||
			r.RejectionReason != reason {
			t.Errorf("line %d, to one who is %s: got %d %s %s %s, want %s %s", r.Line, to.State,
				r.HTTPStatus, r.Status, r.RejectionReason, r.Error, status, reason)
		}
		if r.Status == "PROCESSED" {
			l[to.FiscalCode] = append(l[to.FiscalCode], r.ID)
		}
	}
}

// check reads every inbox: it must hold what was acknowledged, each once, and nothing else.
func (l ledger) check(t *testing.T, file *localfile.File) {
	t.Helper()
	for _, c := range file.Citizens {
		if c.State == localfile.Unknown {
			continue // a login would make the citizen known
		}
		got, want := inbox(t, file.Gateways[0].URL, c.FiscalCode), slices.Clone(l[c.FiscalCode])
		if !slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(b, a) }) {
			t.Error("an inbox is not listed newest first")
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("inbox of one who is %s in %s: %d messages, want %d; %s", c.State, c.Region,
				len(got), len(want), difference(got, want))
		}
	}
}

// difference says what is missing, foreign and there twice.
func difference(got, want []string) string {
	count := map[string]int{}
	for _, id := range want {
		count[id]--
	}
	for _, id := range got {
		count[id]++
	}
	var text []string
	for _, id := range slices.Sorted(maps.Keys(count)) {
		switch n := count[id]; {
		case n < 0:
			text = append(text, "missing "+id)
		case n > 0:
			text = append(text, "too much "+id)
		}
	}
	return strings.Join(text[:min(len(text), 5)], ", ")
}

// status reads what a node says of itself.
func status(admin string) (groups map[string]consensus.Status) {
	a, err := call(http.MethodGet, admin+"/status", nil)
	if err != nil {
		return nil
	}
	var s struct{ Groups []consensus.Status }
	if json.Unmarshal(a.body, &s) != nil {
		return nil
	}
	groups = map[string]consensus.Status{}
	for _, g := range s.Groups {
		groups[g.Group] = g
	}
	return groups
}

// leader waits for the leader of a region's group and returns its node.
func leader(t *testing.T, file *localfile.File, region string) (leader localfile.Node) {
	t.Helper()
	await(t, region+" has a leader", func() bool {
		for _, n := range file.Nodes {
			if n.Region == region && status(n.Admin)["region/"+region].Role == "leader" {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// awaitAgreement waits until all replicas of every group stand at the same entry, where their
// digests must be equal.
func awaitAgreement(t *testing.T, file *localfile.File) {
	t.Helper()
	await(t, "all replicas agree", func() bool {
		type replica struct {
			index  uint64
			digest string
		}
		groups := map[string]map[replica]int{}
		for _, n := range file.Nodes {
			all := status(n.Admin)
			if len(all) != 2 {
				return false
			}
			for name, g := range all {
				if groups[name] == nil {
					groups[name] = map[replica]int{}
				}
				groups[name][replica{g.AppliedIndex, g.Digest}]++
			}
		}
		for name, replicas := range groups {
			indexes := map[uint64]int{}
			for r := range replicas {
				indexes[r.index]++
			}
			for index, n := range indexes {
				if n > 1 {
					t.Fatalf("%s: %d different states at entry %d", name, n, index)
				}
			}
			if len(replicas) > 1 {
				return false
			}
		}
		return true
	})
}
