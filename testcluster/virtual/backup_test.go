package virtual

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/backup"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
)

// openCopy opens a copy as the operator's command does, in clear where there is no recovery key.
func (s *scene) openCopy(q wire.OpenBackup, prefer wire.NodeID) (*operator.Copy, error) {
	q.Unsealed = true
	return s.Operator().Copy(context.Background(), q, prefer)
}

func (s *scene) mustOpenCopy(t *testing.T, q wire.OpenBackup, prefer wire.NodeID) *operator.Copy {
	t.Helper()
	c, err := s.openCopy(q, prefer)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// follower is a node of a region that does not lead.
func (s *scene) follower(region wire.RegionID) *Node {
	leader := s.Leader(region)
	for _, n := range s.Nodes(region) {
		if n != leader {
			return n
		}
	}
	return nil
}

// TestBackupFromAFollower: the node of the last copy is asked again and adds what is new; while it
// is busy another is; the leader only for want of others.
func TestBackupFromAFollower(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		q := wire.OpenBackup{Group: "region/lazio"}
		prefer := s.follower("lazio").ID
		repo := newCopies(t, s.World)
		var added [2]uint64
		for i := range added {
			for range 20 {
				s.mustSend(t, s.citizens[0])
			}
			c := s.mustOpenCopy(t, q, prefer)
			head := c.Head()
			if head.Node != prefer || head.Leader || head.Group != q.Group {
				t.Errorf("the copy is %+v, asked of %s", head, prefer)
			}
			report, err := repo.Backup(t.Context(), c, backup.Options{})
			if err != nil {
				t.Fatal(err)
			}
			added[i] = report.AddedBytes
			// Another copy meanwhile comes from somebody else.
			other := s.mustOpenCopy(t, q, prefer)
			if other.Head().Node == prefer {
				t.Errorf("%s gives two copies at once", prefer)
			}
			other.Close()
			c.Close()
		}
		if added[1] == 0 || added[1] >= added[0]+added[0]/2 {
			t.Errorf("%d bytes first, then %d", added[0], added[1])
		}
		s.Await("the copies are let go of", func() bool {
			c, err := s.openCopy(q, prefer)
			if err == nil {
				c.Close()
			}
			return err == nil && c.Head().Node == prefer
		})
		if _, err := s.openCopy(wire.OpenBackup{Group: "region/umbria"}, ""); err == nil {
			t.Error("a copy of a region that is not there")
		}
	})
}

// TestBackupOfANodeThatDies: a copy whose node dies is none, and leaves nothing that looks like
// one.
func TestBackupOfANodeThatDies(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		q := wire.OpenBackup{Group: "region/lazio"}
		repo := newCopies(t, s.World)
		n := s.follower("lazio")
		c := s.mustOpenCopy(t, q, n.ID)
		n.Crash()
		if _, err := repo.Backup(t.Context(), c, backup.Options{}); err == nil {
			t.Error("a copy of a dead node was taken")
		}
		c.Close()
		if list, err := repo.List(t.Context(), ""); err != nil || len(list) > 0 {
			t.Errorf("there are copies: %v, %v", list, err)
		}
		s.Await("another node gives one", func() bool {
			c, err := s.openCopy(q, n.ID)
			if err != nil {
				return false
			}
			defer c.Close()
			_, err = repo.Backup(t.Context(), c, backup.Options{})
			return err == nil
		})
	})
}

// TestCopyIsItsHolders: files of a copy are read by who opened it, within bounds, until its end.
func TestCopyIsItsHolders(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		c := s.mustOpenCopy(t, wire.OpenBackup{Group: "federation"}, "")
		f := c.Files()[0]
		if b, err := c.Read(t.Context(), f.Name, 0, int(min(f.Size, 100))); err != nil ||
			len(b) == 0 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		for name, q := range map[string]wire.ReadBackup{
			"what is there": {Lease: c.Head().Lease, Name: f.Name, Bytes: 1},
			"another lease": {Lease: c.Head().Lease + 1, Name: f.Name, Bytes: 1},
			"another file":  {Lease: c.Head().Lease, Name: "000000.sst", Bytes: 1},
			"a way out":     {Lease: c.Head().Lease, Name: "../../lock", Bytes: 1},
			"no bytes":      {Lease: c.Head().Lease, Name: f.Name},
			"too many":      {Lease: c.Head().Lease, Name: f.Name, Bytes: wire.BackupReadMax + 1},
			"beyond":        {Lease: c.Head().Lease, Name: f.Name, Offset: f.Size, Bytes: 1},
		} {
			if err := s.operate("x", []wire.NodeID{c.Head().Node}, wire.MethodReadBackup, &q,
				nil); (err == nil) != (name == "what is there") {
				t.Errorf("%s: %v", name, err)
			}
		}
		c.Close()
		if _, err := c.Read(t.Context(), f.Name, 0, 1); err == nil {
			t.Error("read from a copy that was let go of")
		}
	})
}

// TestStaleBackup: of a group that has lost its majority only a stale copy is to be had, and only
// by who asks for one.
func TestStaleBackup(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		s.mustSend(t, s.citizens[0])
		s.AwaitAgreement()
		nodes := s.Nodes("sicilia")
		nodes[0].Crash()
		nodes[1].Crash()
		s.Await("the last one knows that it is alone", func() bool {
			return nodes[2].Node.Health().Ready == false
		})
		q := wire.OpenBackup{Group: "region/sicilia"}
		if c, err := s.openCopy(q, ""); err == nil {
			t.Errorf("a copy of a group without a leader: %+v", c.Head())
			c.Close()
		} else if !strings.Contains(err.Error(), "not ready") && !errors.Is(err, wire.NotReady) {
			t.Errorf("refused with %v", err)
		}
		q.Stale = true
		c := s.mustOpenCopy(t, q, "")
		if h := c.Head(); !h.Stale || h.Node != nodes[2].ID || h.Index == 0 {
			t.Errorf("stale copy %+v", h)
		}
		c.Close()
		time.Sleep(time.Second)
	})
}
