package node

import (
	"context"
	"slices"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
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

// federationCalls are the calls that any node answers from its replica of the federation group, and
// those of operators and other nodes that its leader answers. The directory key, by which fiscal
// codes are told from their hashes, is in the answer to Hello for operators with RightData only.
func (n *Node) federationCalls() []call {
	lookers := only(link.RoleGateway).or(link.RightObserver, anywhere)
	administrators := operators(link.RightOperator, everywhere) // institutions are no region's
	return []call{
		answers(n, wire.MethodHello, only(link.RoleGateway, link.RoleNode).or(link.RightObserver,
			anywhere), anyNode, n.hello),
		answers(n, wire.MethodGetMap, lookers, anyNode, n.getMap),
		answers(n, wire.MethodResolve, lookers, anyNode, n.resolve),
		answers(n, wire.MethodServiceByKey, lookers, anyNode, func(_ context.Context,
			_ link.Identity, q *wire.ServiceByKey) (*wire.ServiceAccess, error) {
			return n.federation.ServiceByKey(q.Key)
		}),
		answers(n, wire.MethodServiceByID, lookers, anyNode, func(_ context.Context,
			_ link.Identity, q *wire.ServiceByID) (*wire.ServiceAccess, error) {
			return n.federation.ServiceByID(q.ID)
		}),
		streams(wire.MethodFeed, only(link.RoleGateway), (*wire.FeedFrame)(nil), n.feed),
		answers(n, wire.MethodFederation, only(link.RoleNode), federationLeads, n.directory),

		administers[wire.Institution](n, wire.MethodPutInstitution, administrators,
			"institution put", wire.CmdPutInstitution).byOne(undone),
		answers(n, wire.MethodSetKey, administrators, federationLeads, n.setKey).byOne(urgent),
		answers(n, wire.MethodPutService, administrators, federationLeads,
			n.putService).byOne(undone),
	}
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

func (n *Node) hello(ctx context.Context, from link.Identity, h *wire.Hello) (
	*wire.Welcome, error) {
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
	return w, nil
}

func (n *Node) getMap(_ context.Context, _ link.Identity, _ *none) (*wire.Map, error) {
	m, ok := n.federation.Map()
	if !ok {
		return nil, wire.Errorf(wire.NotReady, "the federation has no map yet")
	}
	return m, nil
}

func (n *Node) resolve(_ context.Context, _ link.Identity, q *wire.Resolve) (*wire.Resolved,
	error) {
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
func (n *Node) feed(ctx context.Context, to link.Identity, f *wire.Feed,
	send func([]byte) error) error {
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
func (n *Node) directory(ctx context.Context, from link.Identity, ops *wire.DirectoryOps) (
	*wire.DirectoryResults, error) {
	if len(ops.List) > wire.CommandsMax {
		return nil, wire.Errorf(wire.TooLarge, "%d operations", len(ops.List))
	}
	for i := range ops.List {
		if ops.List[i].Region != from.Region {
			return nil, wire.Errorf(wire.Forbidden, "a node speaks for its own region only")
		}
	}
	if v := n.federation.ActiveVersion(); ops.Incarnation > 0 && v < wire.VersionIncarnations {
		return nil, wire.Errorf(wire.NotReady, "a region that was restored needs active version %d "+
			"of the federation, it is %d", wire.VersionIncarnations, v)
	}
	var results wire.DirectoryResults
	if err := n.federationQueue.do(ctx, directoryKind(ops), ops, &results); err != nil {
		return nil, err
	}
	return &results, nil
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
func (n *Node) setKey(ctx context.Context, from link.Identity, k *wire.SetKey) (*none, error) {
	action := "key rotate"
	if k.Hash == (wire.KeyHash{}) {
		action = "key revoke"
	}
	if err := n.federationGroup.Read(ctx); err != nil {
		return nil, err
	}
	s, err := n.federation.ServiceByID(k.Service)
	if err != nil || k.Name > wire.SecondaryKey || s.Service.Keys[k.Name] != k.Hash {
		if _, err := n.administrate(ctx, from, action, wire.CmdSetKey, k); err != nil {
			return nil, err
		}
	}
	return nil, n.spread(ctx)
}

// spread waits until every member of the federation's group that answers has the log as it is now.
func (n *Node) spread(ctx context.Context) error {
	index := n.federation.Position().Index
	for end := time.Now().Add(spreadWait); ; {
		lacking, err := n.federationGroup.MembersBehind(index)
		if err != nil || len(lacking) == 0 {
			return err
		}
		if !time.Now().Before(end) {
			return wire.Errorf(wire.Unavailable, "it is done, and %s, which was away, has not heard "+
				"of it yet", lacking[0])
		}
		if !backoff.Pause(ctx, spreadPoll) {
			return wire.Errorf(wire.Unavailable, "it is done, and not everybody has heard of it yet")
		}
	}
}

// putService answers MethodPutService. The codes of authorized recipients are hashed and sealed
// here, before anything is logged.
func (n *Node) putService(ctx context.Context, from link.Identity, spec *wire.ServiceSpec) (
	*none, error) {
	s, err := federation.NewService(*spec, n.hasher)
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
