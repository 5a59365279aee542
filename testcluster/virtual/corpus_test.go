package virtual

import (
	"flag"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/corpus"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

var writeCorpus = flag.Bool("write-corpus", false, "write the runs of the corpus that are missing")

// recorder is a state that notes its log, with digest and results after every entry.
type recorder struct {
	consensus.StateMachine

	mu    sync.Mutex
	steps []corpus.Step // guarded by mu
}

// Apply applies one entry after the other.
func (r *recorder) Apply(entries []wire.LogEntry) (results []any, err error) {
	for _, e := range entries {
		result, err := r.StateMachine.Apply([]wire.LogEntry{e})
		if err != nil {
			return nil, err
		}
		index, sum := r.Digest()
		if index != e.Index {
			return nil, fmt.Errorf("digest of entry %d, not %d", index, e.Index)
		}
		e.Data = append([]byte(nil), e.Data...)
		r.mu.Lock()
		r.steps = append(r.steps, corpus.NewStep(e, sum, result[0]))
		r.mu.Unlock()
		results = append(results, result...)
	}
	return results, nil
}

// TestRunReplays records what a federation logs while it does a bit of everything, and replays it
// in fresh states, in larger batches: the digests are the same. With -write-corpus the logs join
// the golden ones of node/region and node/federation, where they are missing.
func TestRunReplays(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		logs := map[string]*recorder{}
		w := NewAt(t, wire.Version, func(c *node.Config) {
			id := c.ID
			c.KeepMoved = time.Minute
			c.State = func(group string, s consensus.StateMachine) consensus.StateMachine {
				if id != "lazio-1" && (id != "sicilia-1" || group == "federation") {
					return s
				}
				if logs[group] == nil {
					logs[group] = &recorder{}
				}
				logs[group].StateMachine = s
				return logs[group]
			}
		}, 3, "lazio", "sicilia")
		s := &scene{World: w, Gateway: w.Gateway("lazio")}
		invent := synthetic.NewCitizens(1)
		for _, r := range []wire.RegionID{"lazio", "lazio", "sicilia"} {
			s.activate(t, r, invent.Next().FiscalCode)
		}
		s.citizens = append(s.citizens, invent.Next().FiscalCode)
		s.everything(t)
		s.Judge(&s.h)
		replayRun(t, w, logs)
	})
}

// everything makes the federation log what its parts have kinds of commands for.
func (s *scene) everything(t *testing.T) {
	for range 2 {
		for _, c := range s.citizens {
			s.mustSend(t, c)
		}
	}
	s.deal(t, "sicilia", s.slotsOf("lazio")[:4], false)
	s.deals(t, "the slots have arrived", settled)

	s.awaitKeys()
	s.isolate("sicilia")
	s.Await("a message is spooled", func() bool {
		rec := s.Message(s.citizens[2])
		sub := s.h.Begin(rec.ID, s.Hasher().Recipient(s.citizens[2]))
		o, err := s.Submit(t.Context(), rec, Institution)
		if err == nil {
			s.h.Acknowledge(sub, o.Verdict)
		}
		return err == nil && o.Verdict.Status == wire.Throttled
	})
	s.Mend()
	s.AwaitReady()
	s.AwaitEmptySpools()
	s.rotate(t, "lazio")

	s.mustOrder(t, s.citizens[0], "lazio", "sicilia")
	s.awaitMoved(s.citizens[0], "lazio", "sicilia", 2)
	s.mustSend(t, s.citizens[0])
	s.Island("sicilia")
	s.mustOrder(t, s.citizens[1], "lazio", "sicilia")
	time.Sleep(5 * time.Second)
	if _, err := s.abort(s.citizens[1], "lazio"); err != nil {
		t.Error(err)
	}
	s.Mend()
	s.AwaitReady()

	s.operations(t)
	time.Sleep(2 * time.Minute) // a moved citizen's remains are due
}

// operations are what operators do.
func (s *scene) operations(t *testing.T) {
	op := s.Operator()
	other, err := ca.New(federationName, certificateAge)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	root := other.Authorities()[0]
	for what, err := range []error{
		op.PutInstitution(ctx, wire.Institution{ID: Institution, Name: "Comune di Prova"}),
		op.AddAuthority(ctx, s.ca.Authorities()[0].Raw),
		op.AddAuthority(ctx, root.Raw),
		op.RemoveAuthority(ctx, wire.FingerprintOf(root.Raw)),
		op.Revoke(ctx, link.Identity{Federation: federationName, Role: link.RoleOperator,
			Name: "gone"}),
	} {
		if err != nil {
			t.Errorf("operation %d: %v", what, err)
		}
	}
	joined := s.Join("lazio", "lazio-4")
	s.MustChange(removal(joined.ID))
	s.AwaitRemoved(joined)
	s.Forget(joined)
}

// replayRun replays the recorded logs, and writes them where that is wanted.
func replayRun(t *testing.T, w *World, logs map[string]*recorder) {
	coder, err := wire.NewCoder(1)
	if err != nil {
		t.Fatal(err)
	}
	defer coder.Close()
	for group, r := range logs {
		cfg := store.Config{Dir: "state", FS: vfs.NewMem(),
			Identity: store.Identity{Federation: federationName}}
		var again consensus.StateMachine
		file := "../../node/federation/testdata/corpus/v2-run.log"
		if group == "federation" {
			cfg.Sync = true
			again, err = federation.Open(federation.Config{Hasher: w.Hasher(), Store: cfg})
		} else {
			id := wire.RegionID(filepath.Base(group))
			file = fmt.Sprintf("../../node/region/testdata/corpus/v2-run-%s.log", id)
			again, err = region.Open(region.Config{Region: id, Hasher: w.Hasher(), Coder: coder,
				Store: cfg})
		}
		if err != nil {
			t.Fatal(err)
		}
		replayGroup(t, again, group, r.steps)
		if !*writeCorpus || t.Failed() {
			continue
		}
		if written, err := corpus.Write(file, r.steps); err != nil || !written {
			t.Logf("%s: not written, %v", file, err)
		}
	}
}

func replayGroup(t *testing.T, again consensus.StateMachine, group string, steps []corpus.Step) {
	defer again.Close()
	t.Logf("%s: %d entries, kinds %v", group, len(steps), corpus.Kinds(steps))
	for rest := steps; len(rest) > 0; {
		n := min(7, len(rest))
		entries := make([]wire.LogEntry, n)
		for i := range entries {
			entries[i] = rest[i].Entry
		}
		if _, err := again.Apply(entries); err != nil {
			t.Fatalf("%s: %v", group, err)
		}
		_, sum := again.Digest()
		if got := corpus.NewStep(entries[n-1], sum, nil).Digest; got != rest[n-1].Digest {
			t.Fatalf("%s: at index %d the replay differs", group, entries[n-1].Index)
		}
		rest = rest[n:]
	}
}
