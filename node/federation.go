package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/node/seat"
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

// services answers what gateways need to know of the federation, and takes what operators and
// regions' leaders put there.
type services struct {
	*seat.Seat
	key   wire.DirectoryKey
	admit func(link.Identity) *wire.Error
}

// calls are the calls that any node answers from its replica of the federation group, and
// those of operators and other nodes that its leader answers. The directory key, by which fiscal
// codes are told from their hashes, is in the answer to Hello for operators with RightData only.
func (d *services) calls() []seat.Call {
	lookers := seat.Only(link.RoleGateway).Or(link.RightObserver, seat.Anywhere)
	// Institutions are no region's.
	administrators := seat.Operators(link.RightOperator, seat.Everywhere)
	return []seat.Call{
		seat.Answers(d.Seat, wire.MethodHello, seat.Only(link.RoleGateway, link.RoleNode).Or(
			link.RightObserver, seat.Anywhere), seat.AnyNode, d.hello),
		seat.Answers(d.Seat, wire.MethodGetMap, lookers, seat.AnyNode, d.getMap),
		seat.Answers(d.Seat, wire.MethodResolve, lookers, seat.AnyNode, d.resolve),
		seat.Answers(d.Seat, wire.MethodServiceByKey, lookers, seat.AnyNode, func(_ context.Context,
			_ link.Identity, q *wire.ServiceByKey) (*wire.ServiceAccess, error) {
			return d.Federation.ServiceByKey(q.Key)
		}),
		seat.Answers(d.Seat, wire.MethodServiceByID, lookers, seat.AnyNode, func(_ context.Context,
			_ link.Identity, q *wire.ServiceByID) (*wire.ServiceAccess, error) {
			return d.Federation.ServiceByID(q.ID)
		}),
		seat.Answers(d.Seat, wire.MethodCatalogue, seat.Only(link.RoleGateway), seat.AnyNode, func(
			_ context.Context, _ link.Identity, q *wire.ListCatalogue) (*wire.CataloguePage, error) {
			return d.Federation.Catalogue(q)
		}),
		seat.Streams(wire.MethodFeed, seat.Only(link.RoleGateway), (*wire.FeedFrame)(nil), d.feed),
		seat.Answers(d.Seat, wire.MethodFederation, seat.Only(link.RoleNode), seat.FederationLeads,
			d.directory),

		seat.Administers[wire.Institution](d.Seat, wire.MethodPutInstitution, administrators,
			"institution put", wire.CmdPutInstitution).ByOne(seat.Undone),
		seat.Answers(d.Seat, wire.MethodSetKey, administrators, seat.FederationLeads,
			d.setKey).ByOne(seat.Urgent),
		seat.Answers(d.Seat, wire.MethodRemoteContent, seat.Only(link.RoleGateway), seat.AnyNode, func(
			_ context.Context, _ link.Identity, q *wire.RemoteContentRef) (*wire.RemoteContent, error) {
			return d.Federation.RemoteContent(q.ID)
		}),
		seat.Administers[wire.RemoteContentRef](d.Seat, wire.MethodRemoveRemoteContent, administrators,
			"remote-content remove", wire.CmdRemoveRemoteContent).ByOne(seat.Undone),
		seat.Answers(d.Seat, wire.MethodPutRemoteContent, administrators, seat.FederationLeads,
			d.putRemoteContent).ByOne(seat.Undone),
		seat.Answers(d.Seat, wire.MethodPutService, administrators, seat.FederationLeads,
			d.putService).ByOne(seat.Undone),
	}
}

func (d *services) hello(ctx context.Context, from link.Identity, h *wire.Hello) (
	*wire.Welcome, error) {
	if h.Version != wire.ProtocolVersion {
		return nil, wire.Errorf(wire.UnknownKind, "relay protocol %d, %d is spoken here",
			h.Version, wire.ProtocolVersion)
	}
	m, ok := d.Federation.Map()
	if !ok {
		return nil, wire.Errorf(wire.NotReady, "the federation has no map yet")
	}
	w := &wire.Welcome{Version: wire.ProtocolVersion, Node: d.ID, Region: d.RegionID,
		Key: d.key, Map: *m}
	if from.Role == link.RoleOperator && !d.MayReadData(link.GrantsIn(ctx)) {
		w.Key = wire.DirectoryKey{}
	}
	return w, nil
}

func (d *services) getMap(_ context.Context, _ link.Identity, _ *seat.None) (*wire.Map, error) {
	m, ok := d.Federation.Map()
	if !ok {
		return nil, wire.Errorf(wire.NotReady, "the federation has no map yet")
	}
	return m, nil
}

func (d *services) resolve(_ context.Context, _ link.Identity, q *wire.Resolve) (*wire.Resolved,
	error) {
	if len(q.Recipients) > wire.ResolveMax {
		return nil, wire.Errorf(wire.TooLarge, "%d recipients, %d allowed", len(q.Recipients),
			wire.ResolveMax)
	}
	index, entries, err := d.Federation.Resolve(nil, q.Recipients)
	if err != nil {
		return nil, err
	}
	return &wire.Resolved{Index: index, Entries: entries}, nil
}

// feed streams the changes of the replica to a gateway until it goes away.
func (d *services) feed(ctx context.Context, to link.Identity, f *wire.Feed,
	send func([]byte) error) error {
	beat := time.NewTicker(feedPeriod)
	defer beat.Stop()
	for from := f.From; ; {
		if err := d.admit(to); err != nil { // it was taken off the map meanwhile
			return err
		}
		frame, changed := d.Federation.Feed(from)
		frame.ContactMillis = uint64(d.FederationContact().Milliseconds())
		if err := send(wire.Encode(frame)); err != nil {
			return err
		}
		from = frame.Index
		select {
		case <-changed:
		case <-beat.C:
		case <-ctx.Done():
			return nil
		case <-d.Stopping:
			return wire.Errorf(wire.NotReady, "the node is stopping")
		}
	}
}

// directory answers MethodFederation: a region's leader brings the directory up to date. A node
// speaks for its own region only.
func (d *services) directory(ctx context.Context, from link.Identity, ops *wire.DirectoryOps) (
	*wire.DirectoryResults, error) {
	if len(ops.List) > wire.CommandsMax {
		return nil, wire.Errorf(wire.TooLarge, "%d operations", len(ops.List))
	}
	for i := range ops.List {
		if ops.List[i].Region != from.Region {
			return nil, wire.Errorf(wire.Forbidden, "a node speaks for its own region only")
		}
	}
	if v := d.Federation.ActiveVersion(); ops.Incarnation > 0 && v < wire.VersionIncarnations {
		return nil, wire.Errorf(wire.NotReady, "a region that was restored needs active version %d "+
			"of the federation, it is %d", wire.VersionIncarnations, v)
	}
	var results wire.DirectoryResults
	if err := d.FederationQueue.Do(ctx, directoryKind(ops), ops, &results); err != nil {
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
func (d *services) setKey(ctx context.Context, from link.Identity, k *wire.SetKey) (*seat.None,
	error) {
	action := "key rotate"
	if k.Hash == (wire.KeyHash{}) {
		action = "key revoke"
	}
	if err := d.FederationGroup.Read(ctx); err != nil {
		return nil, err
	}
	s, err := d.Federation.ServiceByID(k.Service)
	if err != nil || k.Name > wire.SecondaryKey || s.Service.Keys[k.Name] != k.Hash {
		if _, err := d.Administrate(ctx, from, action, wire.CmdSetKey, k); err != nil {
			return nil, err
		}
	}
	return nil, d.spread(ctx)
}

// spread waits until every member of the federation's group that answers has the log as it is now.
func (d *services) spread(ctx context.Context) error {
	index := d.Federation.Position().Index
	for end := time.Now().Add(spreadWait); ; {
		lacking, err := d.FederationGroup.MembersBehind(index)
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
func (d *services) putService(ctx context.Context, from link.Identity, spec *wire.ServiceSpec) (
	*seat.None, error) {
	s, err := federation.NewService(*spec, d.Hasher)
	if err != nil {
		return nil, err
	}
	// Sealing is random. The same recipients stay as they are sealed, so that the same put again
	// changes nothing.
	before, err := d.Federation.ServiceByID(s.ID)
	if err == nil && slices.Equal(before.Service.AuthorizedRecipients, s.AuthorizedRecipients) {
		s.SealedRecipients = before.Service.SealedRecipients
	}
	_, err = d.Administrate(ctx, from, "service put", wire.CmdPutService, s)
	return nil, err
}

// putRemoteContent answers MethodPutRemoteContent. Keys and fiscal codes are sealed and hashed
// here, before anything is logged.
func (d *services) putRemoteContent(ctx context.Context, from link.Identity,
	spec *wire.RemoteContentSpec) (*seat.None, error) {
	before, err := d.Federation.RemoteContent(spec.Content.ID)
	if err != nil && !errors.Is(err, wire.NotFound) {
		return nil, err
	}
	r, err := federation.NewRemoteContent(spec, before, d.Hasher)
	if err != nil {
		return nil, err
	}
	_, err = d.Administrate(ctx, from, "remote-content put", wire.CmdPutRemoteContent, r)
	return nil, err
}
