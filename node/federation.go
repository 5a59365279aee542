package node

import (
	"context"
	"slices"
	"time"

	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// feedPeriod is how often a feed speaks when nothing changes.
	feedPeriod = time.Second
	// spreadWait is how long a call waits for nodes that hear from the leader and have not got the
	// log, before the caller has to ask again: less than an attempt takes. They are looked at every
	// spreadPoll.
	spreadWait = link.AttemptWait / 2
	spreadPoll = 20 * time.Millisecond
)

// handleFederation registers the calls that any node answers from its replica of the federation
// group, and those of operators and other nodes that its leader answers.
func (n *Node) handleFederation() {
	n.link.Handle(wire.MethodHello, n.hello, link.RoleGateway, link.RoleOperator, link.RoleNode)
	n.link.Handle(wire.MethodGetMap, n.getMap, link.RoleOperator, link.RoleGateway)
	lookUp(n, wire.MethodResolve, n.resolve)
	lookUp(n, wire.MethodServiceByKey, func(q *wire.ServiceByKey) (*wire.ServiceAccess, error) {
		return n.federation.ServiceByKey(q.Key)
	})
	lookUp(n, wire.MethodServiceByID, func(q *wire.ServiceByID) (*wire.ServiceAccess, error) {
		return n.federation.ServiceByID(q.ID)
	})
	n.link.HandleStream(wire.MethodFeed, n.feed, link.RoleGateway)
	n.link.Handle(wire.MethodFederation, n.directory, link.RoleNode)

	administer[wire.Institution](n, wire.MethodPutInstitution, "institution put",
		wire.CmdPutInstitution)
	n.link.Handle(wire.MethodSetKey, n.setKey, link.RoleOperator)
	n.link.Handle(wire.MethodPutService, n.putService, link.RoleOperator)
	n.handleOperators()
	n.handleApprovals()
	n.handleReads()
	n.handleViews()
	n.handleHealth()
}

// lookUp registers a read of the local replica.
func lookUp[Q, A any, PQ message[Q], PA message[A]](n *Node, m wire.Method,
	f func(PQ) (PA, error)) {
	n.link.Handle(m, func(_ context.Context, _ link.Identity, req []byte) ([]byte, error) {
		q := PQ(new(Q))
		if err := wire.Decode(req, q); err != nil {
			return nil, err
		}
		a, err := f(q)
		if err != nil {
			return nil, err
		}
		return wire.Encode(a), nil
	}, link.RoleGateway, link.RoleOperator)
}

// administer registers an operator's call that is one command of the federation's log.
func administer[Q any, PQ message[Q]](n *Node, m wire.Method, action string,
	kind wire.CommandKind) {
	n.handleChange(m, func(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
		q := PQ(new(Q))
		if err := wire.Decode(req, q); err != nil {
			return nil, err
		}
		_, err := n.administrate(ctx, from, action, kind, q)
		return nil, err
	}, link.RoleOperator)
}

// mayFederate is mayPropose for the federation's group.
func (n *Node) mayFederate() error {
	if leader, _ := n.federationGroup.Leader(); leader != n.cfg.ID {
		return &wire.Error{Code: wire.NotLeader, Leader: leader}
	}
	if n.disk.refuses() {
		return wire.Errorf(wire.Unavailable, "%s", n.disk)
	}
	return nil
}

func (n *Node) hello(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	var h wire.Hello
	if err := wire.Decode(req, &h); err != nil {
		return nil, err
	}
	if h.Version != wire.ProtocolVersion {
		return nil, wire.Errorf(wire.UnknownKind, "relay protocol %d, %d is spoken here",
			h.Version, wire.ProtocolVersion)
	}
	m, ok := n.federation.Map()
	if !ok {
		return nil, wire.Errorf(wire.NotReady, "the federation has no map yet")
	}
	w := &wire.Welcome{Version: wire.ProtocolVersion, Node: n.cfg.ID, Region: n.cfg.Region,
		Key: n.cfg.DirectoryKey, Map: *m}
	if from.Role == link.RoleOperator && !n.mayReadData(link.GrantsIn(ctx)) {
		w.Key = wire.DirectoryKey{}
	}
	return wire.Encode(w), nil
}

func (n *Node) getMap(context.Context, link.Identity, []byte) ([]byte, error) {
	m, ok := n.federation.Map()
	if !ok {
		return nil, wire.Errorf(wire.NotReady, "the federation has no map yet")
	}
	return wire.Encode(m), nil
}

func (n *Node) resolve(q *wire.Resolve) (*wire.Resolved, error) {
	if len(q.Recipients) > wire.ResolveMax {
		return nil, wire.Errorf(wire.TooLarge, "%d recipients, %d allowed", len(q.Recipients),
			wire.ResolveMax)
	}
	index, entries, err := n.federation.Resolve(nil, q.Recipients)
	if err != nil {
		return nil, err
	}
	return &wire.Resolved{Index: index, Entries: entries}, nil
}

// feed streams the changes of the replica to a gateway until it goes away.
func (n *Node) feed(ctx context.Context, to link.Identity, req []byte,
	send func([]byte) error) error {
	var f wire.Feed
	if err := wire.Decode(req, &f); err != nil {
		return err
	}
	beat := time.NewTicker(feedPeriod)
	defer beat.Stop()
	for from := f.From; ; {
		if err := n.admitPeer(to); err != nil { // it was taken off the map meanwhile
			return err
		}
		frame, changed := n.federation.Feed(from)
		frame.ContactMillis = uint64(n.federationContact().Milliseconds())
		if err := send(wire.Encode(frame)); err != nil {
			return err
		}
		from = frame.Index
		select {
		case <-changed:
		case <-beat.C:
		case <-ctx.Done():
			return nil
		case <-n.stopping:
			return wire.Errorf(wire.NotReady, "the node is stopping")
		}
	}
}

// directory answers MethodFederation: a region's leader brings the directory up to date. A node
// speaks for its own region only.
func (n *Node) directory(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	var ops wire.DirectoryOps
	if err := wire.Decode(req, &ops); err != nil {
		return nil, err
	}
	if len(ops.List) > wire.CommandsMax {
		return nil, wire.Errorf(wire.TooLarge, "%d operations", len(ops.List))
	}
	for i := range ops.List {
		if ops.List[i].Region != from.Region {
			return nil, wire.Errorf(wire.Forbidden, "a node speaks for its own region only")
		}
	}
	if err := n.mayFederate(); err != nil {
		return nil, err
	}
	if v := n.federation.ActiveVersion(); ops.Incarnation > 0 && v < wire.VersionIncarnations {
		return nil, wire.Errorf(wire.NotReady, "a region that was restored needs active version %d "+
			"of the federation, it is %d", wire.VersionIncarnations, v)
	}
	var results wire.DirectoryResults
	if err := n.federationQueue.do(ctx, directoryKind(&ops), &ops, &results); err != nil {
		return nil, err
	}
	return wire.Encode(&results), nil
}

// directoryKind is the oldest kind of command that may hold the operations.
func directoryKind(ops *wire.DirectoryOps) wire.CommandKind {
	for i := range ops.List {
		if ops.List[i].Kind > wire.OpSetActive {
			return wire.CmdMoveDirectory
		}
	}
	return wire.CmdDirectory
}

// setKey answers MethodSetKey, in the audit by what it means. On return every node that hears from
// this leader has it; until then it is to be asked again, which logs nothing more.
func (n *Node) setKey(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	var k wire.SetKey
	if err := wire.Decode(req, &k); err != nil {
		return nil, err
	}
	action := "key rotate"
	if k.Hash == (wire.KeyHash{}) {
		action = "key revoke"
	}
	if err := n.mayFederate(); err != nil {
		return nil, err
	}
	if err := n.federationGroup.Read(ctx); err != nil {
		return nil, err
	}
	s, err := n.federation.ServiceByID(k.Service)
	if err != nil || k.Name > wire.SecondaryKey || s.Service.Keys[k.Name] != k.Hash {
		if _, err := n.administrate(ctx, from, action, wire.CmdSetKey, &k); err != nil {
			return nil, err
		}
	}
	return nil, n.spread(ctx)
}

// spread waits until every member of the federation's group that answers has the log as it is now.
func (n *Node) spread(ctx context.Context) error {
	index := n.federation.Position().Index
	for end := time.Now().Add(spreadWait); ; {
		lacking, err := n.federationGroup.Lacking(index)
		if err != nil || len(lacking) == 0 {
			return err
		}
		if !time.Now().Before(end) {
			return wire.Errorf(wire.Unavailable, "it is done, and %s, which was away, has not heard "+
				"of it yet", lacking[0])
		}
		if !link.Pause(ctx, spreadPoll) {
			return wire.Errorf(wire.Unavailable, "it is done, and not everybody has heard of it yet")
		}
	}
}

// putService answers MethodPutService. The codes of authorized recipients are hashed and sealed
// here, before anything is logged.
func (n *Node) putService(ctx context.Context, from link.Identity, req []byte) ([]byte, error) {
	var spec wire.ServiceSpec
	if err := wire.Decode(req, &spec); err != nil {
		return nil, err
	}
	s, err := federation.NewService(spec, n.hasher)
	if err != nil {
		return nil, err
	}
	// Sealing is random. The same recipients stay as they are sealed, so that the same put again
	// changes nothing.
	before, err := n.federation.ServiceByID(s.ID)
	if err == nil && slices.Equal(before.Service.AuthorizedRecipients, s.AuthorizedRecipients) {
		s.SealedRecipients = before.Service.SealedRecipients
	}
	_, err = n.administrate(ctx, from, "service put", wire.CmdPutService, s)
	return nil, err
}
