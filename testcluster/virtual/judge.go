package virtual

import (
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/testcluster"
	"github.com/staffetta/staffetta/wire"
)

// Judge mends the network, starts what is down, waits until the replicas agree, and holds the
// history against what is there. It is every test's end.
func (w *World) Judge(h *testcluster.History) {
	w.t.Helper()
	w.Mend()
	for _, n := range w.nodes {
		if !n.Running() {
			n.Start()
		}
	}
	w.AwaitReady()
	w.AwaitEmptySpools()
	w.AwaitAgreement()
	list := h.Submissions()
	w.settle(list)
	for _, err := range testcluster.Check(list, w.inbox) {
		w.t.Error(err)
	}
	if h.Acknowledged() == 0 && len(h.Submissions()) > 0 {
		w.t.Error("nothing was acknowledged: the test proves nothing")
	}
}

// AwaitEmptySpools waits until everything that was spooled is with its owner.
func (w *World) AwaitEmptySpools() {
	w.t.Helper()
	w.Await("the spools are empty", func() bool {
		for _, n := range w.nodes {
			if n.Running() && len(n.Node.Spool().Status()) > 0 {
				return false
			}
		}
		return true
	})
}

// settle finds out what became of messages that were THROTTLED, from the spool that has them.
func (w *World) settle(list []*testcluster.Submission) {
	w.t.Helper()
	for _, s := range list {
		if !s.Throttled {
			continue
		}
		home, _ := w.found.RegionByTag(s.ID.Tag())
		v, err := w.Leader(home.ID).Node.Region().FindSpooled(wire.FindMessage{
			Recipient: s.Recipient, ID: s.ID})
		if err != nil {
			w.t.Errorf("message %s was THROTTLED: %v", s.ID, err)
			continue
		}
		s.Settle(v.Verdict, v.Alias)
	}
}

// AwaitAgreement waits until every replica of every group stands at the same index with the same
// digest. Equal index and other digests fail at once.
func (w *World) AwaitAgreement() {
	w.t.Helper()
	groups := map[wire.RegionID]bool{}
	for _, n := range w.nodes {
		groups[n.Region] = true
	}
	agree := func(list []*Node, group string) bool {
		digests := map[uint64]string{}
		for _, n := range list {
			s := n.Status(group)
			if d, seen := digests[s.DigestIndex]; seen && d != s.Digest {
				w.t.Fatalf("%s of %s differs from a replica at index %d", group, n.ID,
					s.DigestIndex)
			}
			digests[s.DigestIndex] = s.Digest
		}
		return len(digests) == 1
	}
	w.Await("all replicas agree", func() bool {
		for r := range groups {
			if !agree(w.Nodes(r), "region") {
				return false
			}
		}
		return agree(w.nodes, "federation")
	})
}

// inbox reads a recipient's messages in log order from the region that owns the code; no other
// may have any, but for what remains for a time where the citizen moved away from.
func (w *World) inbox(to wire.Recipient) (all []region.Placed, err error) {
	seen := map[wire.RegionID]bool{}
	for _, n := range w.nodes {
		if seen[n.Region] {
			continue
		}
		seen[n.Region] = true
		own, _, err := n.Node.Region().Ownership(to)
		if err != nil {
			return nil, err
		}
		if own.State == wire.Released {
			continue
		}
		placed, err := n.Node.Region().Messages(to)
		if err != nil {
			return nil, err
		}
		all = append(all, placed...)
	}
	return all, nil
}
