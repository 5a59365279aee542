package virtual

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
)

// written sends n long texts to a citizen, and starts every node of the region again, so that the
// texts are on the disks and in nobody's memory.
func (s *scene) written(t *testing.T, c fiscalcode.Code, n int) (ids []wire.MessageID) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	for range n {
		text := make([]byte, 3000) // nothing makes it smaller, so that it lies in a blob
		for i := range text {
			text[i] = byte('a' + random.IntN(26))
		}
		rec := s.Message(c)
		rec.Content = wire.Encode(&wire.Content{Subject: "Un avviso di prova",
			Markdown: string(text)})
		sub := s.h.Begin(rec.ID, s.Hasher().Recipient(c))
		o, err := s.Submit(t.Context(), rec, Institution)
		if err != nil {
			t.Fatal(err)
		}
		s.h.Acknowledge(sub, o.Verdict)
		ids = append(ids, rec.ID)
	}
	for _, n := range s.Nodes("lazio") {
		n.Stop()
		n.Start()
		s.AwaitReady()
	}
	return ids
}

// readAll reads texts through the gateway, whoever answers. While a leader goes the gateway may
// have to ask again; it is never told that there is an error.
func (s *scene) readAll(t *testing.T, c fiscalcode.Code, ids []wire.MessageID) {
	t.Helper()
	for _, id := range ids {
		s.Await("a text can be read", func() bool {
			err := s.CallRegion(t.Context(), "lazio", wire.MethodGetInbox,
				&wire.GetInbox{Token: Token(c), ID: id}, new(wire.InboxMessage))
			if err != nil && !wire.Retriable(err) {
				t.Fatalf("reading a text: %v, want that another replica answers", err)
			}
			return err == nil
		})
	}
}

// TestDamagedLeaderEnds flips bits in a blob of a leader that runs. Every text is read all the
// same; the leader hands over, ends for good, and names the file.
func TestDamagedLeaderEnds(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		c := s.citizens[0]
		ids := s.written(t, c, 10)
		bad := s.Leader("lazio")
		file := flipBlob(t, bad)
		s.readAll(t, c, ids)
		err := bad.ended(time.Minute)
		if !errors.Is(err, store.ErrDamaged) || !node.Final(err) ||
			!strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "\n") {
			t.Fatalf("the damaged leader ended with %v, want one line about %s", err, file)
		}
		s.AwaitReady()
		s.readAll(t, c, ids)
		s.Forget(bad) // which an operator replaces by a node of another name
	})
}

// flipBlob changes a byte in the middle of every blob of the region's state, and names one.
func flipBlob(t *testing.T, n *Node) (file string) {
	t.Helper()
	dir := n.fs.PathJoin(n.dir, "region", "state", "db-000001")
	names, err := n.fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".blob") {
			continue
		}
		file = name
		f, err := n.fs.OpenReadWrite(n.fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err == nil {
			b[len(b)/3] ^= 4
			_, err = f.WriteAt(b, 0)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if file == "" {
		t.Fatal("no text is in a blob")
	}
	return file
}

// TestExhaustedLeaderEnds takes the leader's file descriptors away. It ends, another replica
// answers, and nothing keeps it from coming back: nothing is wrong with its disk.
func TestExhaustedLeaderEnds(t *testing.T) {
	inScene(t, func(t *testing.T, s *scene) {
		var starved atomic.Value // the name of a node without file descriptors
		s.tweak = func(c *node.Config) {
			c.FS = errorfs.Wrap(c.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind == errorfs.OpOpen && strings.HasSuffix(op.Path, ".blob") &&
					strings.Contains(op.Path, "/region/") &&
					starved.Load() == c.ID {
					return syscall.EMFILE
				}
				return nil
			}))
		}
		c := s.citizens[0]
		ids := s.written(t, c, 10)
		bad := s.Leader("lazio")
		bad.Stop()
		starved.Store(bad.ID)
		bad.Start()
		s.Await("the node leads, and reads", func() bool {
			if s.Leader("lazio") != bad {
				s.Operator().TransferLeadership(t.Context(), "region/lazio", bad.ID)
			}
			s.readAll(t, c, ids)
			return len(bad.done) > 0
		})
		err := bad.ended(time.Minute)
		if !errors.Is(err, store.ErrExhausted) || node.Final(err) ||
			strings.Contains(err.Error(), "damaged") {
			t.Fatalf("the leader ended with %v, want that resources are exhausted", err)
		}
		starved.Store(wire.NodeID(""))
		bad.Start()
		s.AwaitReady()
		s.readAll(t, c, ids)
	})
}
