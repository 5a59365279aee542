package seat

import (
	"context"
	"fmt"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// Call is one line of the table of calls: who may ask, where it is answered, and who answers. What
// goes in and comes out, and what a second copy does, is in wire/methods.go.
type Call struct {
	Method wire.Method
	By     Askers
	At     Site
	// Why says why a call on a region's state, or a change of the federation's, is answered at
	// another site than such calls are.
	Why string
	// Alone says why one operator may make a change without another one; see Hurts.
	Alone string
	// Hurts makes it a call that can hurt a region, or make one operator two, and so needs a second
	// operator, where the federation is set so. It says of a request whether it does, and what of it
	// is kept until then.
	Hurts func(s *Seat, req []byte) (keep []byte, hurts bool, err error)

	Answer link.Handler
	Stream link.StreamHandler // instead of answer
	// Applied answers a region's read of what is applied here, as it is; nil: of no other call.
	Applied func(req []byte, now wire.Time) ([]byte, error)
	// Session: the session that the request names is looked at before anything is logged.
	Session bool
	// Request and Reply are the types that the answerer takes and gives; both nil: bytes.
	Request, Reply codec.Message
}

// Site is where a call is answered, and after which guards.
type Site uint8

const (
	// AnyNode answers of itself, or from its replicas as they are.
	AnyNode Site = iota
	// RegionLeads is the region's leader, with room on its disk, of a region that serves.
	RegionLeads
	// RegionDecides is RegionLeads, that a majority has answered now: its state is what the log says,
	// and what an operator orders is not carried out whenever there is a majority again.
	RegionDecides
	// RegionShows is the region's leader after a barrier, so that a read sees everything that was
	// acknowledged before it, of a region that serves.
	RegionShows
	// RegionStale is any of the region's nodes that may answer of what it has, see CheckStale.
	RegionStale
	// FederationLeads is the federation's leader, with room on its disk.
	FederationLeads
	// FederationShows is the federation's leader after a barrier.
	FederationShows
)

// Guard says why this node does not answer at a site.
func (s *Seat) Guard(ctx context.Context, at Site) error {
	switch at {
	case RegionLeads:
		return s.CheckLeads()
	case RegionDecides:
		if err := s.CheckLeads(); err != nil {
			return err
		}
		return s.RegionGroup.Read(ctx)
	case RegionShows:
		if err := s.CheckServes(); err != nil {
			return err
		}
		return s.RegionGroup.Read(ctx)
	case RegionStale:
		return s.CheckStale()
	case FederationLeads:
		return s.CheckFederates()
	case FederationShows:
		return s.FederationGroup.Read(ctx)
	}
	return nil
}

// Message is a pointer to T that is a message.
type Message[T any] interface {
	*T
	codec.Message
}

// None is a request or an answer that says nothing.
type None struct{}

// Fields declares the message.
func (*None) Fields(*codec.Codec) {}

// Answers makes a call of a function of typed values: the request is decoded, the guards of the
// site are asked, the answer is encoded. A nil answer is an empty one.
func Answers[Q, A any, PQ Message[Q], PA Message[A]](s *Seat, m wire.Method, by Askers, at Site,
	f func(context.Context, link.Identity, PQ) (PA, error)) Call {
	return Call{Method: m, By: by, At: at, Request: PQ(nil), Reply: PA(nil),
		Answer: func(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
			q := PQ(new(Q))
			if err := wire.Decode(req, q); err != nil {
				return nil, err
			}
			if err := s.Guard(ctx, at); err != nil {
				return nil, err
			}
			a, err := f(ctx, from, q)
			if err != nil || a == nil {
				return nil, err
			}
			return wire.Encode(a), nil
		}}
}

// Reads makes a gateway's linearizable read of the region's state, which depends on the time, which
// a majority bears out.
func Reads[Q, A any, PQ Message[Q], PA Message[A]](s *Seat, m wire.Method,
	f func(PQ, wire.Time) (PA, error)) Call {
	c := Answers(s, m, Only(link.RoleGateway), RegionShows,
		func(ctx context.Context, _ link.Identity, q PQ) (PA, error) {
			now, err := s.RegionTime(ctx)
			if err != nil {
				return nil, err
			}
			return f(q, now)
		})
	c.Applied = func(req []byte, now wire.Time) ([]byte, error) {
		q := PQ(new(Q))
		if err := wire.Decode(req, q); err != nil {
			return nil, err
		}
		a, err := f(q, now)
		if err != nil || a == nil {
			return nil, err
		}
		return wire.Encode(a), nil
	}
	return c
}

// Changes makes a gateway's call that is one command of the region's log. The request is decoded
// only to refuse what the log must not hold; the command carries its canonical encoding. With token
// the session must be valid here. A command of a version that the log has not reached is of an
// unknown kind, as to a program of before: nobody has to ask again until that has changed.
func Changes[Q, A any, PQ Message[Q], PA Message[A]](s *Seat, m wire.Method, kind wire.CommandKind,
	token func(PQ) wire.TokenHash) Call {
	c := Answers(s, m, Only(link.RoleGateway), RegionLeads,
		func(ctx context.Context, _ link.Identity, q PQ) (PA, error) {
			err := s.LookTwice(ctx, func() error {
				if err := s.CheckKind(kind); err != nil || token == nil {
					return err
				}
				now, err := s.RegionTime(ctx)
				if err == nil {
					_, err = s.Region.Session(token(q), now)
				}
				return err
			})
			if err != nil {
				return nil, err
			}
			a := PA(new(A))
			return a, s.RegionQueue.Do(ctx, kind, q, a)
		})
	c.Session = token != nil
	return c
}

// CheckKind refuses a command of a version that the region's log has not reached.
func (s *Seat) CheckKind(kind wire.CommandKind) error {
	if active := s.Region.ActiveVersion(); kind.Since() > active {
		return wire.Errorf(wire.UnknownKind, "command kind %d is of version %d of the log, this "+
			"region's is at %d", kind, kind.Since(), active)
	}
	return nil
}

// Administers makes an operator's call that is one command of the federation's log, with a line in
// the audit.
func Administers[Q any, PQ Message[Q]](s *Seat, m wire.Method, by Askers, action string,
	kind wire.CommandKind) Call {
	return Answers(s, m, by, FederationLeads,
		func(ctx context.Context, from link.Identity, q PQ) (*None, error) {
			_, err := s.Administrate(ctx, from, action, kind, q)
			return nil, err
		})
}

// Streams makes a call that is answered by a sequence of frames of the type of reply.
func Streams[Q any, PQ Message[Q]](m wire.Method, by Askers, reply codec.Message,
	f func(context.Context, link.Identity, PQ, func([]byte) error) error) Call {
	return Call{Method: m, By: by, Request: PQ(nil), Reply: reply,
		Stream: func(ctx context.Context, from link.Identity, req []byte,
			send func([]byte) error) error {
			q := PQ(new(Q))
			if err := wire.Decode(req, q); err != nil {
				return err
			}
			return f(ctx, from, q, send)
		}}
}

// About makes a call about one node. An operator's is passed on to the node that it is about, for
// who does not reach that one. A node passes nothing on for another.
func About[Q, A any, PQ Message[Q], PA Message[A]](s *Seat, m wire.Method, by Askers,
	of func(PQ) wire.NodeID, f func(context.Context, link.Identity, PQ) (PA, error)) Call {
	c := Answers(s, m, by, AnyNode, f)
	own := c.Answer
	c.Answer = func(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
		q := PQ(new(Q))
		if err := wire.Decode(req, q); err != nil {
			return nil, err
		}
		node := of(q)
		switch {
		case node == "" || node == s.ID:
			return own(ctx, from, req)
		case from.Role != link.RoleOperator:
			return nil, wire.Errorf(wire.Forbidden, "%s asks %s for %s", from, s.ID, node)
		}
		return s.Link.Call(ctx, link.Peer{Node: node}, m, wire.Encode(q))
	}
	return c
}

// Raw makes a call of bytes, after the guards of the site.
func Raw(s *Seat, m wire.Method, by Askers, at Site, f link.Handler) Call {
	return Call{Method: m, By: by, At: at,
		Answer: func(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
			if err := s.Guard(ctx, at); err != nil {
				return nil, err
			}
			return f(ctx, from, req)
		}}
}

// Because says why a call is answered at another site than others of its kind.
func (c Call) Because(why string) Call {
	c.Why = why
	return c
}

// When makes a call one that may hurt a region.
func (c Call) When(hurts func(*Seat, []byte) ([]byte, bool, error)) Call {
	c.Hurts = hurts
	return c
}

// Why one operator may do something alone.
const (
	Undone = "the same command undoes it"
	Judged = "it refuses by itself to take a majority or a citizen's data"
	Urgent = "it has to be done at once"
)

// ByOne says why one operator may make a change alone.
func (c Call) ByOne(why string) Call {
	c.Alone = why
	return c
}

// Answer has the link answer calls, which are all that the node answers: Table.
func (s *Seat) Answer(calls []Call) {
	s.Table = map[wire.Method]*Call{}
	for _, c := range calls {
		if s.Table[c.Method] != nil || (c.Answer == nil) == (c.Stream == nil) {
			panic(fmt.Sprintf("seat: method %d has two answers, or none", c.Method))
		}
		s.Table[c.Method] = &c
		switch {
		case c.Stream != nil:
			s.Link.HandleStream(c.Method, c.Stream, c.By.Roles...)
		case c.Hurts != nil:
			s.Link.Handle(c.Method, func(ctx context.Context, from link.Identity,
				req []byte) ([]byte, error) {
				ctx = context.WithValue(ctx, orderKey{}, order{method: c.Method, request: req})
				return c.Answer(ctx, from, req)
			}, c.By.Roles...)
		default:
			s.Link.Handle(c.Method, c.Answer, c.By.Roles...)
		}
	}
}

// LookTwice returns what look says against a change, before any of it comes into the log: what a
// citizen of another region sent is not to lie here, and what nobody may change is not worth an
// entry. This replica may not have applied yet what says otherwise: a refusal is looked at twice.
func (s *Seat) LookTwice(ctx context.Context, look func() error) error {
	if look() == nil {
		return nil
	}
	if err := s.RegionGroup.Read(ctx); err != nil {
		return err
	}
	return look()
}
