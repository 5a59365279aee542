package virtual

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/node/witness"
	"github.com/staffetta/staffetta/wire"
)

// trio are a region's nodes: one that missed the last messages, since it was down, one that will
// forget them, and the leader, which had them.
func (s *scene) trio(region wire.RegionID) (lagging, forgetful, leader *Node) {
	leader = s.Leader(region)
	var others []*Node
	for _, n := range s.Nodes(region) {
		if n != leader {
			others = append(others, n)
		}
	}
	return others[0], others[1], leader
}

// refusedForGood waits until a node ends because it has forgotten, and takes it out of the world.
func (s *scene) refusedForGood(t *testing.T, n *Node) {
	t.Helper()
	err := n.ended(time.Minute)
	if !errors.Is(err, witness.ErrForgot) ||
		!strings.Contains(err.Error(), "node replace "+string(n.ID)) {
		t.Errorf("%s ended with %v, want %v and what to do", n.ID, err, witness.ErrForgot)
	}
	s.Forget(n)
}

// A node on an empty disk under its old name would, with one that was away, be a majority that has
// forgotten what was acknowledged.
func TestEmptiedDiskIsRefused(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		lagging, forgetful, leader := s.trio("lazio")
		lagging.Crash()
		stop := s.load(t, 4, s.Gateway)
		s.progress(t, 50)
		stop()
		leader.Crash()
		forgetful.Crash()
		forgetful.Wipe()
		forgetful.Start()
		lagging.Start()
		s.refusedForGood(t, forgetful)
		leader.Start()
		s.AwaitReady()
	})
}

// The same while nobody of its region runs who could know better.
func TestEmptiedDiskAmongFounders(t *testing.T) {
	threeRegions(t, func(t *testing.T, s *scene) {
		for _, n := range s.Nodes("lazio") {
			n.Crash()
		}
		n := s.Nodes("lazio")[0]
		n.Wipe()
		n.Start()
		s.refusedForGood(t, n)
	})
}

// A node whose disk went back to an earlier state is refused by those who saw the later one.
func TestEarlierCopyIsRefused(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		lagging, forgetful, _ := s.trio("lazio")
		stop := s.load(t, 4, s.Gateway)
		s.progress(t, 20)
		back := forgetful.Snapshot()
		s.progress(t, 50)
		stop()
		time.Sleep(3 * time.Second)
		forgetful.Crash()
		back()
		forgetful.Start()
		s.refusedForGood(t, forgetful)
		lagging.Crash()
		lagging.Start() // who did not go back is not refused
		s.AwaitReady()
	})
}

// The same where only other regions saw it: those of its own were away, or are.
func TestEarlierCopyIsKnownElsewhere(t *testing.T) {
	threeRegions(t, func(t *testing.T, s *scene) {
		lagging, forgetful, leader := s.trio("lazio")
		back := forgetful.Snapshot()
		lagging.Crash()
		g := s.Gateway
		for range 10 {
			s.World.write(g)
		}
		time.Sleep(3 * time.Second)
		leader.Crash()
		forgetful.Crash()
		back()
		forgetful.Start()
		lagging.Start()
		s.refusedForGood(t, forgetful)
		leader.Start()
		s.AwaitReady()
	})
}

// With two regions one other alone knows, and cannot end the node: it is held back until the rest of
// its own is there, and then refused by that.
func TestEarlierCopyIsHeldBack(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		lagging, forgetful, leader := s.trio("lazio")
		back := forgetful.Snapshot()
		lagging.Crash()
		stop := s.load(t, 4, s.Gateway)
		s.progress(t, 30)
		stop()
		time.Sleep(3 * time.Second)
		leader.Crash()
		forgetful.Crash()
		back()
		forgetful.Start()
		lagging.Start()
		time.Sleep(20 * time.Second)
		for _, n := range []*Node{forgetful, lagging} {
			if role := n.Status("region").Role; role == "leader" {
				t.Errorf("%s leads a majority that has forgotten", n.ID)
			}
		}
		leader.Start()
		s.refusedForGood(t, forgetful)
		s.AwaitReady()
	})
}

// A node that joined while another one was down knows that one's directory from who of its region
// was there: a second directory under the name is no other half of a majority.
func TestNewcomerKnowsWhoWasDown(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		absent := s.Join("lazio", "lazio-4")
		s.AwaitVoters("region/lazio", "lazio-1", "lazio-2", "lazio-3", "lazio-4")
		s.leave(t, "lazio-1")
		s.AwaitVoters("region/lazio", "lazio-2", "lazio-3", "lazio-4")
		absent.Crash()
		newcomer := s.Join("lazio", "lazio-5")
		s.AwaitVoters("region/lazio", "lazio-2", "lazio-3", "lazio-4", "lazio-5")
		s.leave(t, "lazio-2")
		s.AwaitVoters("region/lazio", "lazio-3", "lazio-4", "lazio-5")
		newcomer.Crash()
		absent.Start()
		stop := s.load(t, 4, s.Gateway)
		s.progress(t, 30)
		stop()
		last := s.node(t, "lazio-3")
		last.Crash()
		absent.Crash()
		absent.Wipe()
		s.Island("lazio") // nobody else says what they know
		newcomer.Start()
		absent.Start()
		s.refusedForGood(t, absent)
		s.Mend()
		last.Start()
		s.AwaitReady()
	})
}

// leave removes a node, and waits until it is gone.
func (s *scene) leave(t *testing.T, id wire.NodeID) {
	t.Helper()
	n := s.node(t, id)
	s.MustChange(removal(id))
	s.AwaitRemoved(n)
}

// Crashes of any kind take no node back, and nothing refuses one: power fails everywhere, again and
// again, while messages come.
func TestCrashesForgetNothing(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		stop := s.load(t, 4, s.Gateway)
		for range 6 {
			s.progress(t, 10)
			for _, n := range s.Nodes("") {
				n.Crash()
			}
			for _, n := range s.Nodes("") {
				n.Start()
			}
		}
		s.progress(t, 10)
		stop()
	})
}
