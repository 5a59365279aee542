package virtual

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/testcluster"
	"github.com/staffetta/staffetta/wire"
)

// scene is a world with a gateway, active citizens of every region, and one whom nobody knows.
type scene struct {
	*World
	*Gateway
	h        testcluster.History
	citizens []fiscalcode.Code
}

// inScene runs a test in a bubble, on a federation of two regions of three nodes.
func inScene(t *testing.T, test func(t *testing.T, s *scene)) {
	t.Helper()
	inTimedScene(t, nil, test)
}

// long leaves a test out of short runs, such as the race detector's, which makes everything nine
// times as slow: the same goroutines meet in shorter tests.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("long, and of nothing that shorter ones do not run")
	}
}

// inBubble runs a test on a clock of its own, beside other tests.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, test)
}

func inTimedScene(t *testing.T, timing func(string) consensus.Timing,
	test func(t *testing.T, s *scene)) {
	inBubble(t, func(t *testing.T) {
		w := NewTimed(t, timing, 3, "lazio", "sicilia")
		s := &scene{World: w, Gateway: w.Gateway("lazio")}
		invent := synthetic.NewCitizens(1)
		for _, region := range []wire.RegionID{"lazio", "sicilia"} {
			for range 3 {
				c := invent.Next().FiscalCode
				if err := s.Activate(t.Context(), region, c); err != nil {
					t.Fatalf("activate a citizen of %s: %v", region, err)
				}
				s.citizens = append(s.citizens, c)
			}
		}
		s.citizens = append(s.citizens, invent.Next().FiscalCode)
		test(t, s)
		s.Judge(&s.h)
	})
}

// load submits with so many clients until stop is called, which waits for them. A client that
// gets no answer goes on with the next message: what became of the last one stays open.
func (s *scene) load(t *testing.T, clients int, g *Gateway) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				g.Send(ctx, &s.h, s.citizens[n%len(s.citizens)])
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// progress waits until messages are acknowledged again.
func (s *scene) progress(t *testing.T, more int) {
	t.Helper()
	goal := s.h.Acknowledged() + more
	s.Await("submissions are acknowledged", func() bool { return s.h.Acknowledged() >= goal })
}

func TestVerdicts(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		for i, c := range s.citizens {
			rec := s.Message(c)
			sub := s.h.Begin(rec.ID, s.Hasher().Recipient(c))
			o, err := s.Submit(t.Context(), rec, Institution)
			if err != nil {
				t.Fatal(err)
			}
			s.h.Acknowledge(sub, o.Verdict)
			want := wire.Verdict{Status: wire.Processed}
			if i == len(s.citizens)-1 {
				want = wire.Verdict{Status: wire.Rejected, Reason: wire.UserNotFound}
			}
			if o.Verdict != want {
				t.Errorf("citizen %d: %+v, want %+v", i, o.Verdict, want)
			}
			view, err := s.FindMessage(t.Context(), c, rec.ID)
			if err != nil || view.Verdict != want ||
				(view.Content != nil) != (want.Status == wire.Processed) {
				t.Errorf("citizen %d: read back %+v, %v", i, view, err)
			}
		}
	})
}

func TestLeaderKilledUnderLoad(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		stop := s.load(t, 8, s.Gateway)
		for range 3 {
			s.progress(t, 20)
			old := s.Leader("lazio")
			old.Crash()
			s.progress(t, 20)
			old.Start()
			s.AwaitReady()
		}
		stop()
	})
}

func TestMinorityAndMajorityCut(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		stop := s.load(t, 4, s.Gateway)
		lazio := s.Nodes("lazio")
		s.progress(t, 10)
		s.Leader("lazio").Isolate() // a minority: the others go on
		s.progress(t, 20)
		s.Mend()

		lazio[0].Isolate()
		lazio[1].Isolate() // a majority: lazio stands still
		time.Sleep(10 * time.Second)
		c := s.citizens[0]
		began := time.Now()
		rec := s.Message(c)
		_, err := s.Submit(t.Context(), rec, Institution)
		s.h.Begin(rec.ID, s.Hasher().Recipient(c)) // its outcome is unknown to the checker
		if !wire.Retriable(err) || err == nil {
			t.Errorf("without a majority: %v, want a retriable error", err)
		}
		if took := time.Since(began); took > wire.OwnerWait+time.Second {
			t.Errorf("the answer took %s, at most %s wanted", took, wire.OwnerWait)
		}
		s.Mend()
		s.progress(t, 20)
		stop()
	})
}

func TestOtherRegionGoesOn(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		for _, n := range s.Nodes("sicilia") {
			n.Isolate()
		}
		time.Sleep(5 * time.Second)
		for range 20 {
			if err := s.Send(t.Context(), &s.h, s.citizens[0]); err != nil {
				t.Errorf("lazio alone: %v", err)
			}
		}
		s.spool(t, s.Gateway, s.citizens[3])
	})
}

func TestAsymmetricCut(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		stop := s.load(t, 4, s.Gateway)
		s.progress(t, 10)
		leader := s.Leader("lazio")
		for _, n := range s.Nodes("lazio") { // the leader speaks and hears nothing
			if n != leader {
				s.Deafen(n, leader)
			}
		}
		s.progress(t, 20)
		s.Mend()
		leader = s.Leader("lazio")
		for _, n := range s.Nodes("lazio") { // the leader hears and is not heard
			if n != leader {
				s.Deafen(leader, n)
			}
		}
		s.progress(t, 20)
		s.Mend()
		s.progress(t, 10)
		stop()
	})
}

// TestBusyOldLeaderHeals is the pattern of hashicorp/raft#695: a cut heals while the old leader
// is still appending.
func TestBusyOldLeaderHeals(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		stop := s.load(t, 16, s.Gateway)
		for range 4 {
			s.progress(t, 10)
			s.Leader("lazio").Isolate()
			time.Sleep(3 * time.Second)
			s.Mend()
			time.Sleep(300 * time.Millisecond)
		}
		s.progress(t, 10)
		stop()
	})
}

// TestRetryStorm sends every record through two gateways at once, again and again: it must be
// there once.
func TestRetryStorm(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		other := s.World.Gateway("sicilia")
		for i := range 10 {
			c := s.citizens[i%len(s.citizens)]
			rec := s.Message(c)
			sub := s.h.Begin(rec.ID, s.Hasher().Recipient(c))
			var all sync.WaitGroup
			outcomes := make([]wire.Outcome, 8)
			for j := range outcomes {
				all.Go(func() {
					g := s.Gateway
					if j%2 == 1 {
						g = other
					}
					copied := *rec
					for {
						o, err := g.Submit(t.Context(), &copied, Institution)
						if err == nil {
							outcomes[j] = o
							return
						}
					}
				})
			}
			if i%3 == 1 {
				old := s.Leader("lazio")
				old.Crash()
				old.Start()
			}
			all.Wait()
			for _, o := range outcomes {
				if o != outcomes[0] {
					t.Errorf("one message, two outcomes: %+v and %+v", o, outcomes[0])
				}
			}
			s.h.Acknowledge(sub, outcomes[0].Verdict)
		}
	})
}

// TestIdempotencyKeyMeetsTheFirstMessage: through whatever gateway, before and after a claim.
func TestIdempotencyKeyMeetsTheFirstMessage(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		other := s.World.Gateway("sicilia")
		unknown := s.citizens[len(s.citizens)-1]
		send := func(g *Gateway, c fiscalcode.Code, subject string) (wire.Outcome, error) {
			rec := g.Message(c)
			rec.Content = wire.Encode(&wire.Content{Subject: subject, Markdown: "x"})
			rec.Idempotency = wire.IdempotencyOf(rec.Service, "key-"+string(c[:3]))
			rec.Digest = rec.Canonical(g.Hasher().Recipient(c), "key")
			return g.Submit(t.Context(), rec, Institution)
		}
		for _, c := range []fiscalcode.Code{s.citizens[0], s.citizens[3], unknown} {
			first, err := send(s.Gateway, c, "Primo avviso")
			if err != nil {
				t.Fatal(err)
			}
			if first.Verdict.Status == wire.Processed {
				s.h.Acknowledge(s.h.Begin(first.ID, s.Hasher().Recipient(c)), first.Verdict)
			}
			if c == unknown { // the claim hands the key over
				if err := s.Activate(t.Context(), "sicilia", c); err != nil {
					t.Fatal(err)
				}
			}
			again, err := send(other, c, "Primo avviso")
			if err != nil || again != first {
				t.Errorf("again: %+v, %v, want %+v", again, err, first)
			}
			conflict, err := send(other, c, "Un altro avviso")
			if err != nil || conflict.Kind != wire.KeyConflict {
				t.Errorf("another body: %+v, %v, want a conflict", conflict, err)
			}
		}
	})
}

// TestFollowerIsReinstalledUnderLoad takes a follower away until the others' logs do not hold any
// more what it misses: it comes back by a snapshot, while load goes on.
func TestFollowerIsReinstalledUnderLoad(t *testing.T) {
	often := func(string) consensus.Timing {
		timing := consensus.RegionTiming()
		timing.SnapshotThreshold, timing.SnapshotInterval = 64, time.Second
		timing.TrailingLogs = consensus.TrailingLogsMin
		return timing
	}
	inTimedScene(t, often, func(t *testing.T, s *scene) {
		stop := s.load(t, 4, s.Gateway)
		var follower *Node
		for _, n := range s.Nodes("lazio") {
			if n != s.Leader("lazio") {
				follower = n
			}
		}
		follower.Crash()
		s.Await("the logs are truncated", func() bool {
			return s.Leader("lazio").Status("region").CommitIndex >
				consensus.TrailingLogsMin+200
		})
		time.Sleep(3 * time.Second) // a snapshot is due every one to two seconds
		follower.Start()
		s.progress(t, 50)
		s.Await("the follower is installed", func() bool {
			return follower.Node.Health().Ready
		})
		s.progress(t, 50)
		stop()
		if first := follower.FirstLogIndex(); first <= 1 {
			t.Error("the follower's log begins at the beginning: no snapshot was installed")
		}
	})
}

func TestEverythingCrashesAtOnce(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		for range 3 {
			stop := s.load(t, 8, s.Gateway)
			s.progress(t, 30)
			for _, n := range s.Nodes("") {
				n.Crash()
			}
			stop()
			for _, n := range s.Nodes("") {
				n.Start()
			}
			s.AwaitReady()
		}
		if err := s.Send(t.Context(), &s.h, s.citizens[0]); err != nil {
			t.Errorf("after the last start: %v", err)
		}
	})
}

// TestClaimsSurviveCrashes claims codes while leaders of the region, the anchor and the
// federation crash; every claim ends with one owner, whoever drives it.
func TestClaimsSurviveCrashes(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		invent := synthetic.NewCitizens(7)
		regions := []wire.RegionID{"lazio", "sicilia"}
		var all sync.WaitGroup
		var codes []fiscalcode.Code
		for range 12 {
			codes = append(codes, invent.Next().FiscalCode)
		}
		owners := make([][]wire.RegionID, len(codes))
		var mu sync.Mutex
		for i, c := range codes {
			for _, r := range regions { // both want it
				all.Go(func() {
					for {
						err := s.Login(t.Context(), r, c)
						if err == nil {
							mu.Lock()
							owners[i] = append(owners[i], r)
							mu.Unlock()
							return
						}
						if errors.Is(err, wire.Moved) {
							return
						}
						time.Sleep(50 * time.Millisecond)
					}
				})
			}
		}
		for i := range 4 {
			time.Sleep(20 * time.Millisecond)
			old := s.Leader(regions[i%2])
			old.Crash()
			old.Start()
		}
		all.Wait()
		for i, got := range owners {
			if len(got) != 1 {
				t.Errorf("code %d has owners %v, want exactly one", i, got)
			}
		}
		s.citizens = append(s.citizens, codes...)
		for _, c := range codes {
			if err := s.Send(t.Context(), &s.h, c); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestReadAfterAcknowledgement: what was acknowledged is found at once, through any gateway.
func TestReadAfterAcknowledgement(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		other := s.World.Gateway("sicilia")
		for i := range 30 {
			c := s.citizens[i%6]
			rec := s.Message(c)
			sub := s.h.Begin(rec.ID, s.Hasher().Recipient(c))
			o, err := s.Submit(t.Context(), rec, Institution)
			if err != nil {
				t.Fatal(err)
			}
			s.h.Acknowledge(sub, o.Verdict)
			if _, err := other.FindMessage(t.Context(), c, rec.ID); err != nil {
				t.Errorf("message %d was acknowledged and is not found: %v", i, err)
			}
			if i == 10 || i == 20 {
				s.Leader("lazio").Isolate()
				time.Sleep(5 * time.Second)
				s.Mend()
			}
		}
	})
}

func TestNodeNamesItsReasons(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		n := s.Nodes("lazio")[0]
		n.Isolate()
		time.Sleep(20 * time.Second)
		if h := n.Node.Health(); h.Ready || len(h.Reasons) == 0 {
			t.Errorf("a cut-off node says %+v", h)
		}
		if err := s.Send(t.Context(), &s.h, s.citizens[0]); err != nil {
			t.Error(err)
		}

	})
}
