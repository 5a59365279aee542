package virtual

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/synthetic"
	"github.com/staffetta/staffetta/wire"
)

// loseFederation takes the federation's part of every node's disk away. None runs.
func (w *World) loseFederation(t *testing.T) {
	t.Helper()
	for _, n := range w.nodes {
		if err := n.fs.RemoveAll(filepath.Join(n.dir, "federation")); err != nil {
			t.Fatal(err)
		}
		delete(n.stores, "federation")
	}
}

// TestRestoreOfTheFederation restores the federation's group alone, from a copy that knows neither
// of claims nor of moves that came after it. The regions, which live, do.
func TestRestoreOfTheFederation(t *testing.T) {
	long(t)
	threeRegions(t, func(t *testing.T, s *scene) {
		invent := synthetic.NewCitizens(4)
		moves, stays := invent.Next().FiscalCode, invent.Next().FiscalCode
		s.mustActivate(t, "lazio", moves)
		s.mustActivate(t, "lazio", stays)
		c := newCopies(t, s.World)
		c.take(t, "federation")

		claimed := s.stranger(invent, "sicilia")
		s.mustActivate(t, "lazio", claimed)
		s.mustOrder(t, moves, "lazio", "sicilia")
		s.awaitMoved(moves, "lazio", "sicilia", 2)
		s.mustSend(t, moves)
		for _, n := range s.Nodes("") {
			n.Stop()
		}
		s.loseFederation(t)
		for i, n := range s.Nodes("") {
			c.restore(t, n, "federation", "lombardia-1", 1, false)
			if i < 6 { // the reports of two regions are there before the third's
				n.Start()
			}
		}
		for _, n := range s.Nodes("")[6:] {
			n.Start()
		}
		s.AwaitReady()
		s.awaitOwner(t, "one who moved", moves, "sicilia", 2)
		s.awaitOwner(t, "one who stayed", stays, "lazio", 1)
		s.awaitOwner(t, "one who was claimed", claimed, "lazio", 1)
		s.Await("every region has reported", func() bool {
			awaited, err := s.Nodes("")[0].Node.Federation().Awaited()
			return err == nil && len(awaited) == 0
		})
		// Claims and moves go on.
		late := s.stranger(invent, "lombardia")
		s.mustActivate(t, "sicilia", late)
		s.mustOrder(t, moves, "sicilia", "lazio")
		s.awaitMoved(moves, "sicilia", "lazio", 3)
		for range 3 {
			s.mustSend(t, moves)
			s.mustSend(t, claimed)
			s.mustSend(t, late)
		}
		s.Judge(&s.h)
		s.AwaitVoters("federation", "lazio-1", "lombardia-1", "sicilia-1", "lazio-2",
			"lombardia-2", "sicilia-2", "lazio-3")
	})
}

// TestAwaitedReports: while a region has not reported to a restored federation, nothing is claimed,
// since the code may be that region's; an operator may go on without it.
func TestAwaitedReports(t *testing.T) {
	long(t)
	threeRegions(t, func(t *testing.T, s *scene) {
		invent := synthetic.NewCitizens(6)
		c := newCopies(t, s.World)
		c.take(t, "federation")
		claimed := s.stranger(invent, "lombardia")
		s.mustActivate(t, "lombardia", claimed)
		for _, n := range s.Nodes("") {
			n.Stop()
		}
		s.loseFederation(t)
		for _, n := range s.Nodes("") {
			c.restore(t, n, "federation", "lazio-1", 1, false)
			if n.Region != "lombardia" {
				n.Start()
			}
		}
		s.AwaitReady()
		for range 3 {
			if err := s.Login(t.Context(), "sicilia", claimed); err == nil {
				t.Fatal("a code was claimed that a region which has not reported owns")
			}
			time.Sleep(5 * time.Second)
		}
		e, err := s.Nodes("lazio")[0].Node.Federation().Directory(s.Hasher().Recipient(claimed))
		if err != nil || e.State != wire.Unclaimed {
			t.Errorf("the directory took a claim: %+v, %v", e, err)
		}
		awaited, err := s.Nodes("lazio")[0].Node.Federation().Awaited()
		if err != nil || len(awaited) != 1 || awaited[0] != "lombardia" {
			t.Errorf("awaited: %v, %v", awaited, err)
		}
		if err := s.Operator().WaiveReport(t.Context(),
			&wire.WaiveReport{Region: "lombardia"}); err != nil {
			t.Fatal(err)
		}
		other := s.stranger(invent, "lazio")
		s.mustActivate(t, "sicilia", other)
		for _, n := range s.Nodes("lombardia") {
			n.Start()
		}
		s.AwaitReady()
		s.awaitOwner(t, "one who was claimed later", other, "sicilia", 1)
		// The region that was not waited for reports all the same.
		s.awaitOwner(t, "one who was claimed before", claimed, "lombardia", 1)
	})
}

// TestRestoreOfEverything destroys every disk there is, and restores the federation and then each
// region, from copies of different moments.
func TestRestoreOfEverything(t *testing.T) {
	long(t)
	threeRegions(t, func(t *testing.T, s *scene) {
		invent := synthetic.NewCitizens(5)
		moves, stays := invent.Next().FiscalCode, invent.Next().FiscalCode
		s.mustActivate(t, "lazio", moves)
		s.mustActivate(t, "lazio", stays)
		s.mustActivate(t, "sicilia", s.stranger(invent, "lombardia"))
		c := newCopies(t, s.World)
		c.take(t, "federation")
		claimed := s.stranger(invent, "sicilia")
		s.mustActivate(t, "lazio", claimed)
		s.mustSend(t, moves)
		s.mustSend(t, stays)
		s.mustSend(t, claimed)
		// The copy of the old owner's region comes first: it still has who moves.
		c.take(t, "region/lazio")
		c.take(t, "region/lombardia")
		s.mustOrder(t, moves, "lazio", "sicilia")
		s.awaitMoved(moves, "lazio", "sicilia", 2)
		s.mustSend(t, moves)
		c.take(t, "region/sicilia")
		kept := s.acknowledged()
		for range 3 {
			s.mustSend(t, stays)
			s.mustSend(t, moves)
		}
		until := len(s.h.Submissions())
		for _, region := range []wire.RegionID{"lazio", "lombardia", "sicilia"} {
			s.destroy(region)
		}
		for _, n := range s.Nodes("") {
			c.restore(t, n, "federation", "sicilia-1", 1, false)
			c.restore(t, n, "region/"+string(n.Region), wire.NodeID(n.Region)+"-1", 1, false)
		}
		for _, n := range s.Nodes("") {
			n.Start()
		}
		s.AwaitReady()
		s.awaitOwner(t, "one who moved", moves, "sicilia", 2)
		s.awaitOwner(t, "one who stayed", stays, "lazio", 1)
		s.awaitOwner(t, "one who was claimed", claimed, "lazio", 1)
		for _, code := range []struct{ name string }{{"again"}, {"and again"}} {
			t.Log(code.name)
			s.mustSend(t, moves)
			s.mustSend(t, stays)
			s.mustSend(t, claimed)
		}
		of := map[wire.Recipient]bool{s.Hasher().Recipient(moves): true,
			s.Hasher().Recipient(stays): true}
		s.judgeRestored(t, kept, until, of)
	})
}
