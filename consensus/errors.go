package consensus

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
	"github.com/staffetta/staffetta/wire"
)

// Why a group cannot go on. Run and Open wrap them with the particulars; in every case the
// process must exit, and an operator can tell from the text what to do.
var (
	// ErrDisk: a disk operation failed. After a failed fsync nobody knows what is on disk, and a
	// retry may report success for data that is gone, so the process ends; it may be restarted.
	ErrDisk = errors.New("disk failed")
	// ErrExhausted: the process, or the machine, has no file descriptors or no memory left for an
	// operation on the disk, which is in order. The process ends, which frees what it held.
	ErrExhausted = errors.New("resources are exhausted")
	// ErrStalled: a disk operation takes too long. It is still going on, so the process must end
	// without waiting for it.
	ErrStalled = errors.New("disk stalled")
	// ErrState: the state refused a committed entry.
	ErrState = errors.New("state failed")
	// ErrCorrupt: log and state contradict each other or themselves. The replica must be
	// replaced by a new one under another name.
	ErrCorrupt = errors.New("replica is damaged")
	// ErrVersion: the log or the state holds what a newer program wrote. Nothing was changed: the
	// newer program goes on from here.
	ErrVersion = errors.New("this program is too old for the group, start a newer one on the " +
		"same data")
	// ErrDiverged: the state is not what a majority of the voters have at the same index. The
	// replica must be replaced by a new one under another name.
	ErrDiverged = errors.New("replica differs from the others")
	// ErrForeign: the directory belongs to another group, node or log store.
	ErrForeign = errors.New("directory is not this replica's")
	// ErrRemoved: the node is no longer a member of the group.
	ErrRemoved = errors.New("removed from the group")
	// ErrRestart: the library is in a state that only a restart ends.
	ErrRestart = errors.New("restart needed")
	// ErrClock: the node's clock is off and leadership could not be handed over.
	ErrClock = errors.New("clock is off")
)

// corrupt makes an ErrCorrupt.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
}

// notApplied is the response of an entry that reached a state machine which had failed.
type notApplied struct{}

// proposeError translates what the library says of an entry or a membership change.
func (g *Group) proposeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader):
		return g.notLeader()
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return wire.Errorf(wire.Overloaded, "the log does not keep up")
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return wire.Errorf(wire.Unavailable, "leadership is being handed over")
	case errors.Is(err, raft.ErrLeadershipLost):
		return wire.Errorf(wire.OutcomeUnknown, "leadership was lost")
	case errors.Is(err, raft.ErrRaftShutdown):
		return wire.Errorf(wire.OutcomeUnknown, "the node is stopping")
	}
	// A failed disk, or something the library may grow: either way nothing is known.
	return wire.Errorf(wire.OutcomeUnknown, "the entry may be lost")
}

func (g *Group) notLeader() *wire.Error {
	leader, _ := g.Leader()
	if leader == g.config.Self {
		leader = "" // leadership is just being lost or won
	}
	return &wire.Error{Code: wire.NotLeader, Leader: leader}
}
