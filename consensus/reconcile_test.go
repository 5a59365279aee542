package consensus

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// replicaCase is what a replica finds when it starts.
type replicaCase struct {
	name  string
	guard string // the guard that the case is a test of
	logs  [][3]uint64
	term  uint64
	pos   wire.Position
	want  error
	first uint64 // of the log afterwards
	last  uint64
}

func at(index, term uint64, installed bool) wire.Position {
	return wire.Position{Index: index, Term: term, Installed: installed,
		Configuration: unitMembers, ConfigurationIndex: 1}
}

var replicaCases = []replicaCase{
	{name: "nothing yet"},
	{name: "log ahead of the state", logs: [][3]uint64{{1, 1, 100}}, term: 1, pos: at(60, 1, false),
		first: 1, last: 100},
	{name: "log and state end together", logs: [][3]uint64{{1, 1, 100}}, term: 1,
		pos: at(100, 1, false), first: 1, last: 100},
	{name: "log begins right behind the state", logs: [][3]uint64{{1, 101, 110}}, term: 1,
		pos: at(100, 1, false), first: 101, last: 110},
	{name: "LogLost", guard: guardLostLog, logs: [][3]uint64{{1, 1, 90}}, term: 1,
		pos: at(100, 1, false), want: ErrCorrupt},
	{name: "LogGone", guard: guardLostLog, term: 1, pos: at(100, 1, false), want: ErrCorrupt},
	{name: "StateLost", guard: guardLostState, logs: [][3]uint64{{1, 50, 100}}, term: 1,
		pos: at(40, 1, false), want: ErrCorrupt},
	{name: "StateGone", guard: guardLostState, logs: [][3]uint64{{1, 50, 100}}, term: 1,
		want: ErrCorrupt},
	{name: "OtherTerm", guard: guardForeignLog, logs: [][3]uint64{{1, 1, 100}}, term: 2,
		pos: at(60, 2, false), want: ErrCorrupt},
	{name: "TermsFall", guard: guardForeignLog, logs: [][3]uint64{{3, 1, 50}, {2, 51, 60}},
		term: 3, pos: at(10, 3, false), want: ErrCorrupt},
	{name: "VotesLost", guard: guardLostTerm, logs: [][3]uint64{{5, 1, 100}}, term: 4,
		pos: at(10, 5, false), want: ErrCorrupt},
	{name: "VotesGone", guard: guardLostTerm, logs: [][3]uint64{{5, 1, 100}}, term: 0,
		pos: at(10, 0, false), want: ErrCorrupt},
	{name: "InstalledOverShorterLog", guard: guardInstalledLog, logs: [][3]uint64{{1, 1, 50}},
		term: 2, pos: at(100, 2, true)},
	{name: "InstalledOverOtherLog", guard: guardInstalledLog, logs: [][3]uint64{{1, 1, 150}},
		term: 2, pos: at(100, 2, true)},
	{name: "installed, log agrees", logs: [][3]uint64{{2, 1, 150}}, term: 2,
		pos: at(100, 2, true), first: 1, last: 150},
	{name: "InstalledAndAppended", guard: guardInstalledTail, logs: [][3]uint64{{2, 101, 110}},
		term: 2, pos: at(100, 2, true), first: 101, last: 110},
	{name: "installed, log empty", term: 2, pos: at(100, 2, true)},
}

// TestReconcile meets every combination of log and state, in every store.
func TestReconcile(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			for _, c := range replicaCases {
				t.Run(c.name, func(t *testing.T) { c.run(t, openKind(t, kind)) })
			}
		})
	}
}

func (c replicaCase) run(t *testing.T, s *openStore) {
	for _, l := range c.logs {
		if err := s.Stores.log.StoreLogs(logsOf(l[0], l[1], l[2])); err != nil {
			t.Fatal(err)
		}
	}
	if c.term > 0 {
		if err := s.Stores.stable.SetUint64(keyTerm, c.term); err != nil {
			t.Fatal(err)
		}
	}
	s.reopen()
	s.config.Group, s.config.Self = "region/test", "n1"
	r := reconciler{config: &s.config, log: s.Stores.log, stable: s.Stores.stable,
		mark: s.mark, pos: c.pos}
	if err := r.run(); !errors.Is(err, c.want) {
		t.Fatalf("reconcile: %v, want %v", err, c.want)
	}
	if c.want != nil {
		return
	}
	s.reopen()
	first, _ := s.Stores.log.FirstIndex()
	last, _ := s.Stores.log.LastIndex()
	if first != c.first || last != c.last {
		t.Errorf("log is %d to %d, want %d to %d", first, last, c.first, c.last)
	}
	// The library appends behind what it takes for the end.
	next := max(last, c.pos.Index) + 1
	if err := s.Stores.log.StoreLogs(logsOf(9, next, next+3)); err != nil {
		t.Errorf("append %d after reconciliation: %v", next, err)
	}
}

// The directory of another node, or of another group, is refused.
func TestForeignDirectoryIsRefused(t *testing.T) {
	for _, kind := range kinds {
		s := openKind(t, kind)
		run := func(group string, self wire.NodeID) error {
			s.config.Group, s.config.Self = group, self
			r := reconciler{config: &s.config, log: s.Stores.log, stable: s.Stores.stable,
				mark: s.mark}
			return r.run()
		}
		if err := run("region/lazio", "lazio-1"); err != nil {
			t.Fatal(err)
		}
		if err := run("region/lazio", "lazio-1"); err != nil {
			t.Errorf("%s: the same node again: %v", kind, err)
		}
		if err := run("region/lazio", "lazio-2"); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: another node: %v, want %v", kind, err, ErrForeign)
		}
		if err := run("federation", "lazio-1"); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: another group: %v, want %v", kind, err, ErrForeign)
		}
	}
}

// A crash in the middle of founding a group leaves a replica that founds it again.
func TestHalfFoundedReplicaStarts(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *cluster) {
		if err := c.nodes["n1"].stores.stable.SetUint64(keyTerm, 1); err != nil {
			t.Fatal(err)
		}
		c.start()
		c.leader()
		c.check()
	})
}

// A replica that voted is not founded again, whatever its log.
func TestReplicaThatVotedIsNotFoundedAgain(t *testing.T) {
	s := openKind(t, LogMemory)
	s.config.Group, s.config.Self = "region/test", "n1"
	s.config.Bootstrap = []Member{{"n1", true}}
	if err := s.Stores.stable.SetUint64(keyVoteTerm, 1); err != nil {
		t.Fatal(err)
	}
	r := reconciler{config: &s.config, log: s.Stores.log, stable: s.Stores.stable,
		mark: s.mark}
	if err := r.run(); err != nil {
		t.Fatal(err)
	}
	if last, _ := s.Stores.log.LastIndex(); last != 0 {
		t.Errorf("log ends at %d, want an empty one", last)
	}
}

// A restart that replays entries applies each of them once.
func TestEntryIsAppliedOnce(t *testing.T) {
	u := newUnit(t)
	logs := logsOf(1, 1, 10)
	u.fsm.ApplyBatch(logs[:6])
	results := u.fsm.ApplyBatch(logs[4:])
	if u.failure != nil {
		t.Fatal(u.failure)
	}
	if len(results) != 6 || results[0] != nil || results[1] != nil || results[2] != uint64(7) {
		t.Errorf("results %v, want two without and 7 to 10", results)
	}
	if got := len(u.state.commands()); got != 10 {
		t.Errorf("%d entries applied, want 10", got)
	}
}

// A crash after a snapshot was received and before it was installed leaves the old state, and
// the library must be told of that one.
func TestReceivedSnapshotIsNotListed(t *testing.T) {
	u := newUnit(t)
	if err := u.install(100); err != nil {
		t.Fatal(err)
	}
	if err := u.receive(200); err != nil {
		t.Fatal(err)
	}
	list, err := u.snaps.List()
	if err != nil || len(list) != 1 {
		t.Fatalf("list: %v, %v", list, err)
	}
	if got, want := list[0].Index, u.state.crashed().Position().Index; got != want {
		t.Errorf("snapshot %d is listed, the state is at %d", got, want)
	}
	if list[0].ConfigurationIndex != 1 || len(list[0].Configuration.Servers) != 1 {
		t.Errorf("listed with membership %v", list[0].Configuration)
	}
}

// What was truncated must be on disk in the state.
func TestTruncationBehindDurableStateOnly(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *cluster) {
		c.timing.TrailingLogs = TrailingLogsMin
		c.start()
		l := c.leader()
		c.fill(l, "e", 3000)
		if err := l.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		first, _ := l.stores.log.FirstIndex()
		if first < 1000 {
			t.Fatalf("log still begins at %d", first)
		}
		c.kill("n1")
		c.start()
		c.leader()
		c.check()
	})
}

// A state that fails ends the group, and nothing is acknowledged behind it.
func TestFailedStateEndsTheReplica(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		broken := errors.New("broken")
		l.state.before = func([]wire.LogEntry) error { return broken }
		_, err := l.Propose(t.Context(), entryOf("x"))
		if !errors.Is(err, wire.OutcomeUnknown) {
			t.Errorf("propose: %v, want outcome-unknown", err)
		}
		err = <-l.done
		if !errors.Is(err, ErrState) || !errors.Is(err, broken) {
			t.Errorf("group ended with %v, want %v", err, ErrState)
		}
		l.cancel()
		l.state = l.state.crashed()
		c.start(l.id)
		c.check()
	})
}

func TestWhatIsCheckedOfAnEntry(t *testing.T) {
	if err := checkLog(1, &raft.Log{Index: 1, Type: raft.LogConfiguration,
		Data: []byte{0xc1}}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("membership that cannot be decoded: %v, want %v", err, ErrCorrupt)
	}
	if err := checkLog(1, &raft.Log{Index: 2}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("entry of another index: %v, want %v", err, ErrCorrupt)
	}
	if err := checkLog(1, &raft.Log{Index: 1, Type: 77}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("entry of an unknown type: %v, want %v", err, ErrCorrupt)
	}
}
