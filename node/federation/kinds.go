package federation

import (
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// kinds says how each kind of command is applied. One that is missing here is unknown and stops
// the replica.
var kinds = map[wire.CommandKind]func(*tx, []byte) wire.Result{
	wire.CmdFound:            applied((*tx).found),
	wire.CmdPutInstitution:   applied((*tx).putInstitution),
	wire.CmdPutService:       applied((*tx).putService),
	wire.CmdSetKey:           applied((*tx).setKey),
	wire.CmdDirectory:        applied((*tx).directory),
	wire.CmdDealSlots:        applied((*tx).dealSlots),
	wire.CmdSettleSlots:      applied((*tx).settleSlots),
	wire.CmdPublishRegionKey: applied((*tx).publishRegionKey),
	wire.CmdAddAuthority:     applied((*tx).addAuthority),
	wire.CmdRemoveAuthority:  applied((*tx).removeAuthority),
	wire.CmdRevoke:           applied((*tx).revoke),
	wire.CmdMembers:          applied((*tx).members),
	wire.CmdToken:            applied((*tx).putToken),
	wire.CmdEnrol:            applied((*tx).enrol),
	wire.CmdFinalise:         applied((*tx).finalise),
	wire.CmdMoveDirectory:    applied((*tx).moveDirectory),
	wire.CmdMoveOrder:        applied((*tx).orderMove),
	wire.CmdRegionOrder:      applied((*tx).orderRegion),
	wire.CmdFenceRegion:      applied((*tx).fenceRegion),
	wire.CmdReport:           applied((*tx).report),
	wire.CmdWaiveReport:      applied((*tx).waiveReport),

	wire.CmdSetRecoveryKey: applied((*tx).setRecoveryKey),

	wire.CmdPutRemoteContent:    applied((*tx).putRemoteContent),
	wire.CmdRemoveRemoteContent: applied((*tx).removeRemoteContent),

	wire.CmdAsk:          applied((*tx).ask),
	wire.CmdWithdraw:     applied((*tx).withdraw),
	wire.CmdSetApprovals: applied((*tx).setApprovals),

	wire.CmdConfirmFederationTime: applied((*tx).confirmTime),
}

func applied[T any, P interface {
	*T
	codec.Message
}](apply func(*tx, P) (codec.Message, *wire.Error)) func(*tx, []byte) wire.Result {
	return func(t *tx, body []byte) wire.Result {
		return run(body, func(m P) (codec.Message, *wire.Error) { return apply(t, m) })
	}
}
