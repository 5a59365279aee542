package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// call is one line of the table of calls: who may ask, where it is answered, and who answers. What
// goes in and comes out, and what a second copy does, is in wire/methods.go.
type call struct {
	method wire.Method
	by     askers
	at     site
	// why says why a call on a region's state, or a change of the federation's, is answered at
	// another site than such calls are.
	why string
	// alone says why one operator may make a change without another one; see hurts.
	alone string
	// hurts makes it a call that can hurt a region, or make one operator two, and so needs a second
	// operator, where the federation is set so. It says of a request whether it does, and what of it
	// is kept until then.
	hurts func(n *Node, req []byte) (keep []byte, hurts bool, err error)

	answer link.Handler
	stream link.StreamHandler // instead of answer
	// request and reply are the types that the answerer takes and gives; both nil: bytes.
	request, reply codec.Message
}

// site is where a call is answered, and after which guards.
type site uint8

const (
	// anyNode answers of itself, or from its replicas as they are.
	anyNode site = iota
	// regionLeads is the region's leader, with room on its disk, of a region that serves.
	regionLeads
	// regionDecides is regionLeads, that a majority has answered now: its state is what the log says,
	// and what an operator orders is not carried out whenever there is a majority again.
	regionDecides
	// regionShows is the region's leader after a barrier, so that a read sees everything that was
	// acknowledged before it, of a region that serves.
	regionShows
	// federationLeads is the federation's leader, with room on its disk.
	federationLeads
	// federationShows is the federation's leader after a barrier.
	federationShows
)

// guard says why this node does not answer at a site.
func (n *Node) guard(ctx context.Context, at site) error {
	switch at {
	case regionLeads:
		return n.mayPropose()
	case regionDecides:
		if err := n.mayPropose(); err != nil {
			return err
		}
		return n.regionGroup.Read(ctx)
	case regionShows:
		if err := n.serves(); err != nil {
			return err
		}
		return n.regionGroup.Read(ctx)
	case federationLeads:
		return n.mayFederate()
	case federationShows:
		return n.federationGroup.Read(ctx)
	}
	return nil
}

// message is a pointer to T that is a message.
type message[T any] interface {
	*T
	codec.Message
}

// none is a request or an answer that says nothing.
type none struct{}

// Fields declares the message.
func (*none) Fields(*codec.Codec) {}

// answers makes a call of a function of typed values: the request is decoded, the guards of the
// site are asked, the answer is encoded. A nil answer is an empty one.
func answers[Q, A any, PQ message[Q], PA message[A]](n *Node, m wire.Method, by askers, at site,
	f func(context.Context, link.Identity, PQ) (PA, error)) call {
	return call{method: m, by: by, at: at, request: PQ(nil), reply: PA(nil),
		answer: func(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
			q := PQ(new(Q))
			if err := wire.Decode(req, q); err != nil {
				return nil, err
			}
			if err := n.guard(ctx, at); err != nil {
				return nil, err
			}
			a, err := f(ctx, from, q)
			if err != nil || a == nil {
				return nil, err
			}
			return wire.Encode(a), nil
		}}
}

// reads makes a gateway's linearizable read of the region's state, which depends on the time, which
// a majority bears out.
func reads[Q, A any, PQ message[Q], PA message[A]](n *Node, m wire.Method,
	f func(PQ, wire.Time) (PA, error)) call {
	return answers(n, m, only(link.RoleGateway), regionShows,
		func(ctx context.Context, _ link.Identity, q PQ) (PA, error) {
			now, err := n.regionTime(ctx)
			if err != nil {
				return nil, err
			}
			return f(q, now)
		})
}

// changes makes a gateway's call that is one command of the region's log. The request is decoded
// only to refuse what the log must not hold; the command carries its canonical encoding. With token
// the session must be valid here. A command of a version that the log has not reached is of an
// unknown kind, as to a program of before: nobody has to ask again until that has changed.
func changes[Q, A any, PQ message[Q], PA message[A]](n *Node, m wire.Method, kind wire.CommandKind,
	token func(PQ) wire.TokenHash) call {
	return answers(n, m, only(link.RoleGateway), regionLeads,
		func(ctx context.Context, _ link.Identity, q PQ) (PA, error) {
			err := n.refused(ctx, func() error {
				if active := n.region.ActiveVersion(); kind.Since() > active {
					return wire.Errorf(wire.UnknownKind, "command kind %d is of version %d of the "+
						"log, this region's is at %d", kind, kind.Since(), active)
				}
				if token == nil {
					return nil
				}
				now, err := n.regionTime(ctx)
				if err == nil {
					_, err = n.region.Session(token(q), now)
				}
				return err
			})
			if err != nil {
				return nil, err
			}
			a := PA(new(A))
			return a, n.regionQueue.do(ctx, kind, q, a)
		})
}

// administers makes an operator's call that is one command of the federation's log, with a line in
// the audit.
func administers[Q any, PQ message[Q]](n *Node, m wire.Method, by askers, action string,
	kind wire.CommandKind) call {
	return answers(n, m, by, federationLeads,
		func(ctx context.Context, from link.Identity, q PQ) (*none, error) {
			_, err := n.administrate(ctx, from, action, kind, q)
			return nil, err
		})
}

// streams makes a call that is answered by a sequence of frames of the type of reply.
func streams[Q any, PQ message[Q]](m wire.Method, by askers, reply codec.Message,
	f func(context.Context, link.Identity, PQ, func([]byte) error) error) call {
	return call{method: m, by: by, request: PQ(nil), reply: reply,
		stream: func(ctx context.Context, from link.Identity, req []byte,
			send func([]byte) error) error {
			q := PQ(new(Q))
			if err := wire.Decode(req, q); err != nil {
				return err
			}
			return f(ctx, from, q, send)
		}}
}

// about makes a call about one node. An operator's is passed on to the node that it is about, for
// who does not reach that one. A node passes nothing on for another.
func about[Q, A any, PQ message[Q], PA message[A]](n *Node, m wire.Method, by askers,
	of func(PQ) wire.NodeID, f func(context.Context, link.Identity, PQ) (PA, error)) call {
	c := answers(n, m, by, anyNode, f)
	own := c.answer
	c.answer = func(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
		q := PQ(new(Q))
		if err := wire.Decode(req, q); err != nil {
			return nil, err
		}
		node := of(q)
		switch {
		case node == "" || node == n.cfg.ID:
			return own(ctx, from, req)
		case from.Role != link.RoleOperator:
			return nil, wire.Errorf(wire.Forbidden, "%s asks %s for %s", from, n.cfg.ID, node)
		}
		return n.link.Call(ctx, link.Peer{Node: node}, m, wire.Encode(q))
	}
	return c
}

// raw makes a call of bytes, after the guards of the site.
func raw(n *Node, m wire.Method, by askers, at site, f link.Handler) call {
	return call{method: m, by: by, at: at,
		answer: func(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
			if err := n.guard(ctx, at); err != nil {
				return nil, err
			}
			return f(ctx, from, req)
		}}
}

// because says why a call is answered at another site than others of its kind.
func (c call) because(why string) call {
	c.why = why
	return c
}

// when makes a call one that may hurt a region.
func (c call) when(hurts func(*Node, []byte) ([]byte, bool, error)) call {
	c.hurts = hurts
	return c
}

// Why one operator may do something alone.
const (
	undone = "the same command undoes it"
	judged = "it refuses by itself to take a majority or a citizen's data"
	urgent = "it has to be done at once"
)

// byOne says why one operator may make a change alone.
func (c call) byOne(why string) call {
	c.alone = why
	return c
}

// calls is the table: what each duty answers.
func (n *Node) calls() []call {
	return slices.Concat(n.citizenCalls(), n.moveCalls(), n.copyCalls(), n.slotCalls(),
		n.spoolCalls(), n.federationCalls(), n.memberCalls(), n.trustCalls(), n.renewalCalls(),
		n.backupCalls(), n.restoreCalls(), n.viewCalls(), n.operatorCalls(), n.approvalCalls(),
		n.replicaCalls())
}

// answerCalls has the link answer what is in the table.
func (n *Node) answerCalls() {
	n.table = map[wire.Method]*call{}
	for _, c := range n.calls() {
		if n.table[c.method] != nil || (c.answer == nil) == (c.stream == nil) {
			panic(fmt.Sprintf("node: method %d has two answers, or none", c.method))
		}
		n.table[c.method] = &c
		switch {
		case c.stream != nil:
			n.link.HandleStream(c.method, c.stream, c.by.roles...)
		case c.hurts != nil:
			n.link.Handle(c.method, func(ctx context.Context, from link.Identity,
				req []byte) ([]byte, error) {
				ctx = context.WithValue(ctx, orderKey{}, order{method: c.method, request: req})
				return c.answer(ctx, from, req)
			}, c.by.roles...)
		default:
			n.link.Handle(c.method, c.answer, c.by.roles...)
		}
	}
}
