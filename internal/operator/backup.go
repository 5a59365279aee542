package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// copySilence is how long a node that holds a copy may be silent; it speaks every second.
	copySilence = 30 * time.Second
	// copyTries is how often a part of a copy is asked for, each try within copyWait.
	copyTries = 3
	copyWait  = 30 * time.Second
	// copyPiecesMax bounds the pieces of a listing in memory: 16 terabytes.
	copyPiecesMax = 1 << 22
)

// Linker calls nodes; *link.Link is one.
type Linker interface {
	Call(ctx context.Context, to link.Peer, m wire.Method, req []byte) ([]byte, error)
	Stream(ctx context.Context, to link.Peer, m wire.Method, req []byte,
		recv func(frame []byte) error) error
}

// Copy is a copy of a group's state that a node holds still for this process, until Close. It is a
// source for a backup; its methods may be called concurrently.
type Copy struct {
	link  Linker
	at    link.Peer
	head  wire.BackupHead
	files []wire.BackupFile
	// listing goes with the files of a sealed copy.
	listing []byte

	cancel context.CancelFunc
	ended  chan struct{}
	err    error // why the node let go of the copy, set before ended is closed
}

// OpenCopy asks one node for a copy and reads what it consists of.
func OpenCopy(ctx context.Context, l Linker, at link.Peer, q wire.OpenBackup) (*Copy, error) {
	// The copy outlives the call's context only by way of its own.
	holding, cancel := context.WithCancel(ctx)
	c := &Copy{link: l, at: at, cancel: cancel, ended: make(chan struct{})}
	listed := make(chan struct{})
	go c.hold(holding, q, listed)
	select {
	case <-listed:
		return c, nil
	case <-c.ended:
		cancel()
		return nil, c.err
	}
}

// hold receives the listing, closes listed, and stays until the node or the caller lets go.
func (c *Copy) hold(ctx context.Context, q wire.OpenBackup, listed chan struct{}) {
	defer close(c.ended)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(copySilence, cancel)
	defer silence.Stop()
	pieces, done := 0, false
	c.err = c.link.Stream(ctx, c.at, wire.MethodBackup, wire.Encode(&q), func(b []byte) error {
		silence.Reset(copySilence)
		var f wire.BackupFrame
		if err := wire.Decode(b, &f); err != nil {
			return err
		}
		if done {
			return nil
		}
		if f.Head != nil {
			c.head = *f.Head
		}
		for i := range f.Files {
			if pieces += 1 + len(f.Files[i].Pieces); pieces > copyPiecesMax {
				return wire.Errorf(wire.TooLarge, "a copy of more than %d pieces", copyPiecesMax)
			}
		}
		c.files = append(c.files, f.Files...)
		if f.End {
			done, c.listing = true, f.Listing
			close(listed)
		}
		return nil
	})
	if c.err == nil {
		c.err = wire.Errorf(wire.Unavailable, "the node let go of the copy")
	}
}

// Close lets the node remove the copy.
func (c *Copy) Close() {
	c.cancel()
	<-c.ended
}

// Head says whose state it is, and as of when.
func (c *Copy) Head() wire.BackupHead { return c.head }

// Files are what the copy consists of.
func (c *Copy) Files() []wire.BackupFile { return c.files }

// Listing goes with the files of a sealed copy; nil for one in clear.
func (c *Copy) Listing() []byte { return c.listing }

// Read fetches n bytes of a file.
func (c *Copy) Read(ctx context.Context, file string, offset uint64, n int) ([]byte, error) {
	b := make([]byte, 0, n)
	for len(b) < n {
		part, err := c.part(ctx, &wire.ReadBackup{Lease: c.head.Lease, Name: file,
			Offset: offset + uint64(len(b)),
			Bytes:  uint32(min(n-len(b), wire.BackupReadMax))})
		if err != nil {
			return nil, err
		}
		b = append(b, part...)
	}
	return b, nil
}

func (c *Copy) part(ctx context.Context, q *wire.ReadBackup) (b []byte, err error) {
	for range copyTries {
		select {
		case <-c.ended:
			return nil, fmt.Errorf("the copy at %s is gone: %w", c.at.Node, c.err)
		default:
		}
		attempt, cancel := context.WithTimeout(ctx, copyWait)
		b, err = c.link.Call(attempt, c.at, wire.MethodReadBackup, wire.Encode(q))
		cancel()
		if err == nil && len(b) != int(q.Bytes) {
			return nil, wire.Errorf(wire.Internal, "%d bytes, %d asked for", len(b), q.Bytes)
		}
		if err == nil || ctx.Err() != nil ||
			!wire.Retriable(err) && !errors.Is(err, wire.OutcomeUnknown) {
			return b, err
		}
	}
	return nil, err
}

// Copy opens a copy of a group's state at a node that follows: at prefer, when it is not empty and
// can be had, since only the same replica has the same files as the last time. The leader is asked
// when nobody else has a copy to give.
func (c *Client) Copy(ctx context.Context, q wire.OpenBackup, prefer wire.NodeID) (*Copy,
	error) {
	m, err := c.Map(ctx)
	if err != nil {
		return nil, err
	}
	nodes, err := NodesOf(m, q.Group)
	if err != nil {
		return nil, err
	}
	copied, err := CopyOf(ctx, c.link, nodes, q, prefer)
	if err != nil {
		return nil, err
	}
	if mustBeSealed(m, &q) && copied.head.Sealed == nil { // a node of an earlier program
		copied.Close()
		return nil, wire.Errorf(wire.Conflict, "%s gives a copy of %s in clear only", copied.at.Node,
			q.Group)
	}
	return copied, nil
}

// mustBeSealed reports whether a copy in clear is not what was asked for.
func mustBeSealed(m *wire.Map, q *wire.OpenBackup) bool {
	name, isRegion := strings.CutPrefix(q.Group, "region/")
	r, _ := m.RegionByID(wire.RegionID(name))
	return isRegion && (len(r.Recovery) > 0 ||
		!q.Unsealed && m.ActiveVersion >= wire.VersionRecovery)
}

// NodesOf are the nodes that have a replica of a group; of the federation's, those that do not vote
// come first, since they have the least to do.
func NodesOf(m *wire.Map, group string) (list []wire.NodeID, err error) {
	region, isRegion := strings.CutPrefix(group, "region/")
	if !isRegion && group != link.FederationGroup {
		return nil, fmt.Errorf("group %q is neither federation nor region/NAME", group)
	}
	if _, there := m.RegionByID(wire.RegionID(region)); isRegion && !there {
		return nil, fmt.Errorf("no region %q on the map", region)
	}
	for _, voter := range []bool{false, true} {
		for _, n := range m.Nodes {
			if isRegion && string(n.Region) == region && !voter || !isRegion && n.Voter == voter {
				list = append(list, n.ID)
			}
		}
	}
	return list, nil
}

// CopyOf asks the nodes in turn, prefer first, those that lead last.
func CopyOf(ctx context.Context, l Linker, nodes []wire.NodeID, q wire.OpenBackup,
	prefer wire.NodeID) (*Copy, error) {
	nodes = slices.Clone(nodes)
	if i := slices.Index(nodes, prefer); i > 0 {
		nodes[0], nodes[i] = nodes[i], nodes[0]
	}
	var reasons []error
	for _, q.Leader = range []bool{false, true} {
		reasons = nil
		for _, node := range nodes {
			c, err := OpenCopy(ctx, l, link.Peer{Node: node}, q)
			if err == nil {
				return c, nil
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			reasons = append(reasons, fmt.Errorf("%s: %w", node, err))
		}
	}
	return nil, fmt.Errorf("no node gives a copy of %s: %w", q.Group, errors.Join(reasons...))
}

// CheckCopy refuses who may not take copies of a group.
func (c *Client) CheckCopy(ctx context.Context, group string) error {
	return c.call(Rehearse(ctx), wire.MethodBackup, &wire.OpenBackup{Group: group})
}

// SetRecoveryKey makes a public half the recovery key of a region.
func (c *Client) SetRecoveryKey(ctx context.Context, region wire.RegionID, public []byte) error {
	return c.call(ctx, wire.MethodSetRecoveryKey, &wire.SetRecoveryKey{Region: region,
		Public: public})
}

// FenceRegion makes incarnation the region's: nodes of earlier ones stop. A rehearsal is the
// leader's own, which knows more than whether this operator might.
func (c *Client) FenceRegion(ctx context.Context, f *wire.FenceRegion) error {
	f.DryRun = f.DryRun || rehearsing(ctx)
	return c.call(perform(ctx), wire.MethodFenceRegion, f)
}

// WaiveReport lets a restored federation go on without a region's report.
func (c *Client) WaiveReport(ctx context.Context, f *wire.WaiveReport) error {
	return c.call(ctx, wire.MethodWaiveReport, f)
}

// Restores asks a node how far the groups are that were restored.
func (c *Client) Restores(ctx context.Context, node wire.NodeID) ([]wire.Restore, error) {
	var list wire.Restores
	err := c.within(ctx, wire.OwnerWait, node, wire.MethodRestores, nil, &list)
	return list.List, err
}
