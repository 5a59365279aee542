package region

import (
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// kinds says how each kind of command is applied. One that is missing here is unknown and stops
// the replica. A command that fails changes nothing and its result says why; an error stops the
// replica.
var kinds = map[wire.CommandKind]func(*State, *change, []byte) (wire.Result, error){
	wire.CmdLogin:  applied((*State).login),
	wire.CmdLogout: applied((*State).logout),

	wire.CmdOpenSession:   applied((*State).openSession),
	wire.CmdEndSessions:   applied((*State).endSessions),
	wire.CmdEndSessionsOf: applied((*State).endSessionsOf),
	wire.CmdLockAccess:    applied((*State).lockAccess),
	wire.CmdUnlockAccess:  applied((*State).unlockAccess),

	wire.CmdSetProfile:    applied((*State).setProfile),
	wire.CmdSetPreference: applied((*State).setPreference),

	wire.CmdSetMessageStatus: applied((*State).setMessageStatus),
	wire.CmdDeleteMessage:    applied((*State).deleteMessage),

	wire.CmdClaimIntent: applied((*State).claimIntent),
	wire.CmdClaimAbort:  applied((*State).claimAbort),
	wire.CmdRelease:     applied((*State).release),
	wire.CmdImport:      applied((*State).importHandover),
	wire.CmdPendingDone: applied((*State).pendingDone),
	wire.CmdTakeBack:    applied((*State).takeBack),
	wire.CmdReconcile:   applied((*State).reconcile),

	wire.CmdGrantSlots: applied((*State).grantSlots),
	wire.CmdFenceSlot:  applied((*State).fenceSlot),
	wire.CmdImportSlot: applied((*State).importSlot),

	wire.CmdMoveIntent: applied((*State).moveIntent),
	wire.CmdMoveAbort:  applied((*State).moveAbort),
	wire.CmdMoveFence:  applied((*State).moveFence),
	wire.CmdMoveDone:   applied((*State).moveDone),
	wire.CmdMoveUndo:   applied((*State).moveUndo),
	wire.CmdMovePage:   applied((*State).movePage),
	wire.CmdMoveRefuse: applied((*State).moveRefuse),
	wire.CmdMoveErase:  applied((*State).moveErase),
	wire.CmdMoveCopy:   applied((*State).moveCopy),
	wire.CmdMoveForget: applied((*State).moveForget),

	wire.CmdRegionKey:   applied((*State).regionKey),
	wire.CmdSpool:       applied((*State).spool),
	wire.CmdSpoolOffer:  applied((*State).spoolOffer),
	wire.CmdSpoolDone:   applied((*State).spoolDone),
	wire.CmdSpoolExpire: applied((*State).spoolExpire),

	wire.CmdErase:  applied((*State).erase),
	wire.CmdExpire: applied((*State).expire),

	wire.CmdRaiseVersion: applied((*State).raiseVersion),
	wire.CmdConfirmTime:  applied((*State).confirmTime),

	wire.CmdNoteRead: applied((*State).noteRead),
	wire.CmdCopyKey:  applied((*State).copyKey),
}

// applied decodes a command's body and applies it. A body that does not decode is its sender's
// fault, and every replica finds the same fault: the command fails, the replica goes on.
func applied[T any, P interface {
	*T
	codec.Message
}](apply func(*State, *change, P) (wire.Result, error)) func(*State, *change, []byte) (
	wire.Result, error) {
	return func(s *State, c *change, body []byte) (wire.Result, error) {
		m := P(new(T))
		if err := wire.Decode(body, m); err != nil {
			return wire.Fail(wire.AsError(err)), nil
		}
		return apply(s, c, m)
	}
}
