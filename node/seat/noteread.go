package seat

import (
	"context"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// NoteRead has a line in this region's log before an operator reads what is a citizen's. Without a
// leader there is none, and the caller refuses. The log of before version 3 has no lines.
func (s *Seat) NoteRead(ctx context.Context, from link.Identity, action, subject string) error {
	s.Log.Info("an operator reads", "operator", from.String(), "action", action,
		"subject", subject)
	if s.Region.ActiveVersion() < wire.VersionReads {
		return nil
	}
	note := &wire.ReadNote{Operator: from.String(), Action: action, Subject: subject}
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	if s.RegionGroup.IsLeader() {
		return s.RegionQueue.Do(ctx, wire.CmdNoteRead, note, nil)
	}
	leader, ok := s.RegionGroup.Leader()
	if !ok {
		return wire.Errorf(wire.NotReady, "what is read of citizens is noted in the region's log, "+
			"and the region has no leader")
	}
	return s.CallNode(ctx, leader, wire.MethodNoteRead, note, nil)
}
