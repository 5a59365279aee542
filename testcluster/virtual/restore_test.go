package virtual

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/backup"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/node/recovery"
	"github.com/staffetta/staffetta/testcluster"
	"github.com/staffetta/staffetta/wire"
)

// copies is a repository of backups with what tests do with it.
type copies struct {
	*backup.Repository
	w    *World
	keys backup.RecoveryKeys
}

// newCopies makes a repository, and has every region's copies sealed to a recovery key of its own.
func newCopies(t *testing.T, w *World) *copies {
	t.Helper()
	target, err := backup.OpenTarget(t.TempDir(), backup.S3Config{})
	if err != nil {
		t.Fatal(err)
	}
	key := backup.Key{5}
	if _, err := backup.Init(t.Context(), target, key); err != nil {
		t.Fatal(err)
	}
	r, err := backup.Open(t.Context(), target, key)
	if err != nil {
		t.Fatal(err)
	}
	c := &copies{Repository: r, w: w}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, region := range w.Map().Regions {
		key, err := wire.NewRecoveryKey()
		if err == nil {
			err = w.Operator().SetRecoveryKey(ctx, region.ID, key.Public())
		}
		if err != nil {
			t.Fatal(err)
		}
		c.keys = append(c.keys, key)
	}
	w.Await("every node knows the recovery keys", func() bool {
		for _, n := range w.nodes {
			if !n.Running() {
				continue
			}
			m, ok := n.Node.Federation().Map()
			for i := 0; ok && i < len(m.Regions); i++ {
				ok = len(m.Regions[i].Recovery) > 0
			}
			if !ok {
				return false
			}
		}
		return true
	})
	return c
}

// take backs a group up, as the operator's command does.
func (c *copies) take(t *testing.T, group string) *backup.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	src, err := c.w.Operator().Copy(ctx, wire.OpenBackup{Group: group}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	report, err := c.Backup(ctx, src, backup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// restore makes a group's part of a node's directory of the newest copy.
func (c *copies) restore(t *testing.T, n *Node, group string, founder wire.NodeID,
	incarnation uint32, replace bool) {
	t.Helper()
	e, err := c.Find(t.Context(), group, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Manifest(t.Context(), e.Name)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := c.Open(m, c.keys)
	if err != nil {
		t.Fatal(err)
	}
	id := m.Identity()
	id.Incarnation = incarnation
	err = recovery.RestoreGroup(recovery.RestoreConfig{Dir: n.dir, FS: n.fs, Node: n.ID, Region: n.Region,
		Founder: founder, Identity: id, Replace: replace, OnMap: func(m *wire.Map) error {
			_, err := founding.Parse(founding.Of(m).JSON())
			return err
		}, Plan: store.Plan{Origin: m.Origin(),
			Digest: m.Digest,
			Files: func(write func(string, int64, io.Reader) error) error {
				return opened.Files(t.Context(), nil, write)
			}}})
	if err != nil {
		t.Fatal(err)
	}
}

// destroy takes all disks of a region away.
func (w *World) destroy(region wire.RegionID) (ghosts []*Node) {
	for _, n := range w.Nodes(region) {
		n.Crash()
		ghosts = append(ghosts, &Node{ID: n.ID, Region: n.Region, w: w, addr: n.addr, dir: n.dir,
			fs: n.fs, stores: n.stores, cert: n.cert})
		n.Wipe()
	}
	return ghosts
}

// awaitOwner waits until exactly one region owns a code, by its own log, and the directory and
// every replica know that.
func (s *scene) awaitOwner(t *testing.T, name string, c fiscalcode.Code, owner wire.RegionID,
	epoch wire.Epoch) {
	t.Helper()
	r := s.Hasher().Recipient(c)
	s.Await(fmt.Sprintf("the code of %s is %s's at epoch %d", name, owner, epoch), func() bool {
		for _, n := range s.Nodes("") {
			own, _, err := n.Node.Region().Ownership(r)
			e, _ := n.Node.Federation().Directory(r)
			if err != nil || e.Region != owner || e.Epoch != epoch || e.State != wire.Claimed ||
				(own.State == wire.Owned) != (n.Region == owner) ||
				own.State == wire.Owned && own.Epoch != epoch {
				return false
			}
		}
		return true
	})
}

// threeRegions runs a test in a federation of which one region may be lost.
func threeRegions(t *testing.T, test func(t *testing.T, s *scene)) {
	inBubble(t, func(t *testing.T) {
		w := New(t, 3, "lazio", "lombardia", "sicilia")
		test(t, &scene{World: w, Gateway: w.Gateway("sicilia")})
	})
}

// stranger is a code that nobody has claimed, anchored in a region.
func (s *scene) stranger(invent *synthetic.Citizens, anchor wire.RegionID) fiscalcode.Code {
	for {
		c := invent.Next().FiscalCode
		if s.Map().Anchor(s.Hasher().Recipient(c).Slot()) == anchor {
			return c
		}
	}
}

func (s *scene) mustActivate(t *testing.T, region wire.RegionID, c fiscalcode.Code) {
	t.Helper()
	s.Await("a citizen of "+string(region)+" is active", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), wire.OwnerWait)
		defer cancel()
		err := s.Activate(ctx, region, c)
		if err != nil && !wire.Retriable(err) {
			t.Fatal(err)
		}
		return err == nil
	})
}

func (s *scene) mustSend(t *testing.T, c fiscalcode.Code) {
	t.Helper()
	s.Await("a message is taken", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), wire.OwnerWait)
		defer cancel()
		return s.Send(ctx, &s.h, c) == nil
	})
}

// judgeRestored is Judge for a history of which something was lost: what was acknowledged between
// the submissions kept and lost need not be there, for who was with the restored region.
func (s *scene) judgeRestored(t *testing.T, kept map[wire.MessageID]bool, until int,
	of map[wire.Recipient]bool) {
	t.Helper()
	s.AwaitReady()
	s.AwaitEmptySpools()
	s.AwaitAgreement()
	list := s.h.Submissions()
	s.settle(list)
	lost := 0
	for i, m := range list {
		if i < until && of[m.Recipient] && !kept[m.ID] && m.Acknowledged {
			m.Acknowledged = false
			lost++
		}
	}
	for _, err := range testcluster.Check(list, s.inbox) {
		t.Error(err)
	}
	if lost == 0 || len(kept) == 0 {
		t.Errorf("%d were acknowledged before the copy and %d after it: the test proves nothing",
			len(kept), lost)
	}
}

// acknowledged are the messages that clients were told of by now.
func (s *scene) acknowledged() map[wire.MessageID]bool {
	ids := map[wire.MessageID]bool{}
	for _, m := range s.h.Submissions() {
		if m.Acknowledged {
			ids[m.ID] = true
		}
	}
	return ids
}

// TestRestoreOfARegion takes a copy under load, goes on, and destroys every disk of the region.
// After the restore everything acknowledged before the copy is there once, nothing is doubled, each
// code has one owner though some had left and some had come since, and a node of the earlier
// incarnation does not come back.
func TestRestoreOfARegion(t *testing.T) {
	threeRegions(t, func(t *testing.T, s *scene) {
		invent := synthetic.NewCitizens(3)
		next := func() fiscalcode.Code { return invent.Next().FiscalCode }
		stays, leaves, away, comes := next(), next(), next(), next()
		for _, c := range []fiscalcode.Code{stays, leaves} {
			s.mustActivate(t, "lazio", c)
		}
		for _, c := range []fiscalcode.Code{away, comes} {
			s.mustActivate(t, "sicilia", c)
		}
		s.citizens = []fiscalcode.Code{stays, leaves, away}
		stop := s.load(t, 4, s.Gateway)
		time.Sleep(2 * time.Second)
		c := newCopies(t, s.World)
		kept := s.acknowledged()
		report := c.take(t, "region/lazio")
		if report.FromLeader {
			t.Errorf("the copy is from the leader: %+v", report)
		}
		time.Sleep(time.Second)

		// What the copy does not know.
		s.mustOrder(t, leaves, "lazio", "sicilia")
		s.awaitMoved(leaves, "lazio", "sicilia", 2)
		s.mustOrder(t, comes, "sicilia", "lazio")
		s.awaitMoved(comes, "sicilia", "lazio", 2)
		claimed, anchored := s.stranger(invent, "lombardia"), s.stranger(invent, "lazio")
		s.mustActivate(t, "lazio", claimed)
		s.mustActivate(t, "lazio", anchored)
		elsewhere := s.stranger(invent, "lazio")
		s.mustActivate(t, "sicilia", elsewhere)
		time.Sleep(time.Second)
		stop()
		until := len(s.h.Submissions())

		ghosts := s.destroy("lazio")
		op := s.Operator()
		time.Sleep(10 * time.Second) // until it is missed
		fence := &wire.FenceRegion{Region: "lazio", Incarnation: 1}
		for range 2 { // it may be said again
			if err := op.FenceRegion(t.Context(), fence); err != nil {
				t.Fatal(err)
			}
		}
		if err := op.FenceRegion(t.Context(), &wire.FenceRegion{Region: "lazio",
			Incarnation: 3}); err == nil {
			t.Error("an incarnation was skipped")
		}
		// Its nodes come back with empty disks: they have forgotten what they voted for.
		s.AwaitVoters("federation", "lombardia-1", "lombardia-2", "lombardia-3", "sicilia-1",
			"sicilia-2")
		for _, n := range s.Nodes("lazio") {
			c.restore(t, n, "region/lazio", "lazio-1", 1, false)
			n.Start()
		}
		s.AwaitReady()
		s.awaitOwner(t, "one who stayed", stays, "lazio", 1)
		s.awaitOwner(t, "one who left", leaves, "sicilia", 2)
		s.awaitOwner(t, "one who was never here", away, "sicilia", 1)
		s.awaitOwner(t, "one who came", comes, "lazio", 2)
		s.awaitOwner(t, "one who was claimed", claimed, "lazio", 1)
		s.awaitOwner(t, "one who was claimed and anchored", anchored, "lazio", 1)
		s.awaitOwner(t, "one who was claimed elsewhere", elsewhere, "sicilia", 1)
		// The anchor had released it after the copy, and must not decide about it again.
		mark, _, err := s.Leader("lazio").Node.Region().Ownership(s.Hasher().Recipient(elsewhere))
		if err != nil || mark != (wire.Ownership{State: wire.Released, Epoch: 1,
			Region: "sicilia"}) {
			t.Errorf("the anchor of a code that was claimed elsewhere has %+v, %v", mark, err)
		}
		_, r := s.Leader("lazio").Node.Region().RestoreProgress()
		want := wire.ReconcileCounts{Agreed: 1, Released: 1, Lost: 3}
		if r.Counts != want || r.Index != report.Index {
			t.Errorf("found %+v, want %+v", r, want)
		}

		// Who was lost has to log in again, and everybody is written to.
		for _, code := range []fiscalcode.Code{claimed, anchored, comes} {
			s.mustActivate(t, "lazio", code)
		}
		for _, code := range []fiscalcode.Code{stays, leaves, away, comes, claimed, anchored,
			elsewhere} {
			s.mustSend(t, code)
		}
		s.judgeRestored(t, kept, until, map[wire.Recipient]bool{s.Hasher().Recipient(stays): true})
		s.refuseGhost(t, s.Nodes("lazio")[2], ghosts[2])
		s.AwaitVoters("region/lazio", "lazio-1", "lazio-2", "lazio-3")
	})
}

// refuseGhost starts the data of an earlier incarnation in a node's place: it ends with the reason,
// and the region goes on.
func (s *scene) refuseGhost(t *testing.T, n, ghost *Node) {
	t.Helper()
	n.Stop()
	ghost.Start()
	select {
	case err := <-ghost.done:
		if err == nil || !strings.Contains(err.Error(), "was restored from a backup") {
			t.Errorf("a node of an earlier incarnation ended with %v", err)
		}
		ghost.host.unplug()
		ghost.Node = nil
	case <-time.After(patience):
		t.Error("a node of an earlier incarnation goes on")
		ghost.halt()
	}
	if err := ghost.Try(); err == nil { // it knows by now, and says so again
		select {
		case <-ghost.done:
			ghost.host.unplug()
			ghost.Node = nil
		case <-time.After(patience):
			t.Error("a node of an earlier incarnation goes on when it is started again")
			ghost.halt()
		}
	}
	n.Start()
	s.AwaitReady()
}
