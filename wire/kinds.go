package wire

import "iter"

// EntryKind says what an entry's body is. A kind that a replica does not know stops it.
type EntryKind uint8

// CommandKind says what a command's body is. The list is closed and append-only; an unknown kind
// in the log stops a replica.
type CommandKind uint8

// Group says whose log a kind is for, and whose state a call is about.
type Group uint8

// The groups.
const (
	AnyGroup Group = iota // a kind of both groups; a call about a node
	OfRegion
	OfFederation
)

// Kind is all that is declared of a kind of entry or command.
type Kind struct {
	Name  string
	Group Group
	// Since is the version of the logs' content that brought it.
	Since uint32
	// Request and Answer are what goes in and what applying it gives: a message, a Frame, or nil
	// for nothing. They stand for their type and are never filled.
	Request, Answer any
}

// Frame stands for bytes that are not one message.
type Frame struct {
	Name string
	Of   any // the message that the frame holds, some of; nil: none
}

// The kinds of entries.
const (
	BlockEntry    EntryKind = 1
	CommandsEntry EntryKind = 2
)

// entryKinds has every kind of entry under its number.
var entryKinds = [...]Kind{
	BlockEntry:    {"Block", OfRegion, 1, Frame{"block", new(Record)}, new(Outcomes)},
	CommandsEntry: {"Commands", AnyGroup, 1, new(Commands), new(Results)},
}

// The kinds of commands of a region group, below 101.
const (
	CmdLogin         CommandKind = 1
	CmdLogout        CommandKind = 2
	CmdSetProfile    CommandKind = 3
	CmdSetPreference CommandKind = 4
	CmdGrantSlots    CommandKind = 5
	CmdClaimIntent   CommandKind = 6
	CmdClaimAbort    CommandKind = 7
	CmdRelease       CommandKind = 8
	CmdImport        CommandKind = 9
	CmdPendingDone   CommandKind = 10
	CmdErase         CommandKind = 11
	CmdExpire        CommandKind = 12
	CmdOpenSession   CommandKind = 13
	CmdEndSessions   CommandKind = 14
	CmdEndSessionsOf CommandKind = 15
	CmdLockAccess    CommandKind = 16
	CmdUnlockAccess  CommandKind = 17

	CmdRegionKey   CommandKind = 20
	CmdSpool       CommandKind = 21
	CmdSpoolDone   CommandKind = 22
	CmdSpoolExpire CommandKind = 23

	CmdMoveIntent CommandKind = 30
	CmdMoveAbort  CommandKind = 31
	CmdMoveFence  CommandKind = 32
	CmdMoveDone   CommandKind = 33
	CmdMoveUndo   CommandKind = 34
	CmdMovePage   CommandKind = 35
	CmdMoveRefuse CommandKind = 36
	CmdMoveErase  CommandKind = 37
	// CmdMoveCopy is a page of what an earlier owner still has of a citizen whom this region owns,
	// for what the region has not.
	CmdMoveCopy CommandKind = 38

	CmdFenceSlot  CommandKind = 40
	CmdImportSlot CommandKind = 41
	// CmdRaiseVersion raises the active version. It is logged only once every member of the group
	// knows the new one, and so may be logged in any version.
	CmdRaiseVersion CommandKind = 50
	CmdReconcile    CommandKind = 55
	// CmdConfirmTime is for a time that says how late it is beyond TimeStepMax, which is taken at
	// its word only after a majority confirmed it.
	CmdConfirmTime CommandKind = 65
	// CmdTakeBack makes the region the owner again of a code that the directory has with it, at a
	// later epoch than its own log gave it up, while no move is under way.
	CmdTakeBack CommandKind = 70
	// CmdMoveForget drops what is kept of a refused move, once the directory knows its end.
	CmdMoveForget    CommandKind = 71
	CmdDeleteMessage CommandKind = 72
	// CmdNoteRead says that an operator reads what is a citizen's.
	CmdNoteRead CommandKind = 85
	// CmdCopyKey keeps the copy key of a recovery key.
	CmdCopyKey          CommandKind = 86
	CmdSetMessageStatus CommandKind = 90
	// CmdSpoolOffer is logged before blocks go to their owner for the first time.
	CmdSpoolOffer CommandKind = 100
)

// The kinds of commands of the federation group, from 101.
const (
	CmdFound          CommandKind = 101
	CmdPutInstitution CommandKind = 102
	CmdPutService     CommandKind = 103
	CmdSetKey         CommandKind = 104
	CmdDirectory      CommandKind = 105

	CmdMembers CommandKind = 110
	CmdToken   CommandKind = 111
	CmdEnrol   CommandKind = 112

	CmdDealSlots        CommandKind = 120
	CmdSettleSlots      CommandKind = 121
	CmdPublishRegionKey CommandKind = 125

	CmdAddAuthority    CommandKind = 130
	CmdRemoveAuthority CommandKind = 131
	CmdRevoke          CommandKind = 132
	// CmdFinalise is the federation's CmdRaiseVersion, and the map's version.
	CmdFinalise CommandKind = 135

	CmdFenceRegion CommandKind = 140
	CmdReport      CommandKind = 141
	CmdWaiveReport CommandKind = 142
	// CmdMoveDirectory is CmdDirectory that may hold every operation.
	CmdMoveDirectory CommandKind = 145
	// CmdMoveOrder and CmdRegionOrder hold an operator's order against the map, and the first one
	// against the directory too. They change nothing: they are what the operators' log shows.
	CmdMoveOrder   CommandKind = 146
	CmdRegionOrder CommandKind = 147
	// CmdAudit is what an operator's change travels in.
	CmdAudit CommandKind = 150

	CmdConfirmFederationTime CommandKind = 155

	// CmdAsk has a request wait for a second operator.
	CmdAsk          CommandKind = 186
	CmdWithdraw     CommandKind = 187
	CmdSetApprovals CommandKind = 188
	// CmdSetRecoveryKey puts a recovery key on the map.
	CmdSetRecoveryKey      CommandKind = 190
	CmdPutRemoteContent    CommandKind = 191
	CmdRemoveRemoteContent CommandKind = 192
)

// commandKinds has every kind of command under its number. A kind of a new version is one constant
// and one line; what was released is never changed, and no number is used twice.
var commandKinds = [256]Kind{
	CmdLogin:         {"Login", OfRegion, 1, new(Login), new(Session)},
	CmdLogout:        {"Logout", OfRegion, 1, new(Logout), nil},
	CmdSetProfile:    {"SetProfile", OfRegion, 1, new(SetProfile), new(Profile)},
	CmdSetPreference: {"SetPreference", OfRegion, 1, new(SetPreference), new(Preference)},
	CmdGrantSlots:    {"GrantSlots", OfRegion, 1, new(GrantSlots), nil},
	CmdClaimIntent:   {"ClaimIntent", OfRegion, 1, new(ClaimIntent), new(Ownership)},
	CmdClaimAbort:    {"ClaimAbort", OfRegion, 1, new(ClaimAbort), nil},
	CmdRelease:       {"Release", OfRegion, 1, new(Release), new(RowPage)},
	CmdImport:        {"Import", OfRegion, 1, new(Import), nil},
	CmdPendingDone:   {"PendingDone", OfRegion, 1, new(PendingDone), nil},
	CmdErase:         {"Erase", OfRegion, 1, new(EraseBlock), nil},
	CmdExpire:        {"Expire", OfRegion, 1, new(Expire), nil},

	CmdRegionKey:    {"RegionKey", OfRegion, 2, new(PrivateRegionKey), nil},
	CmdSpool:        {"Spool", OfRegion, 2, new(Spool), new(Spooled)},
	CmdSpoolDone:    {"SpoolDone", OfRegion, 2, new(SpoolDone), nil},
	CmdSpoolExpire:  {"SpoolExpire", OfRegion, 2, new(SpoolExpire), nil},
	CmdMoveIntent:   {"MoveIntent", OfRegion, 2, new(MoveIntent), new(Move)},
	CmdMoveAbort:    {"MoveAbort", OfRegion, 2, new(MoveRef), new(Move)},
	CmdMoveFence:    {"MoveFence", OfRegion, 2, new(MoveStep), nil},
	CmdMoveDone:     {"MoveDone", OfRegion, 2, new(MoveStep), nil},
	CmdMoveUndo:     {"MoveUndo", OfRegion, 2, new(MoveStep), nil},
	CmdMovePage:     {"MovePage", OfRegion, 2, new(MovePage), new(MoveProgress)},
	CmdMoveRefuse:   {"MoveRefuse", OfRegion, 2, new(MoveStep), new(MoveProgress)},
	CmdMoveErase:    {"MoveErase", OfRegion, 2, new(MoveErase), new(MoveErased)},
	CmdMoveCopy:     {"MoveCopy", OfRegion, 2, new(MovePage), new(MoveProgress)},
	CmdFenceSlot:    {"FenceSlot", OfRegion, 2, new(FenceSlot), nil},
	CmdImportSlot:   {"ImportSlot", OfRegion, 2, new(ImportSlot), nil},
	CmdRaiseVersion: {"RaiseVersion", OfRegion, 2, new(RaiseVersion), nil},
	CmdReconcile:    {"Reconcile", OfRegion, 2, new(Reconcile), nil},

	CmdConfirmTime: {"ConfirmTime", OfRegion, 3, new(ConfirmTime), new(TimeConfirmed)},
	CmdTakeBack:    {"TakeBack", OfRegion, 3, new(Standing), nil},
	CmdMoveForget:  {"MoveForget", OfRegion, 3, new(MoveStep), nil},
	CmdNoteRead:    {"NoteRead", OfRegion, 3, new(ReadNote), nil},
	CmdCopyKey:     {"CopyKey", OfRegion, 3, new(CopyKey), nil},
	CmdSetMessageStatus: {"SetMessageStatus", OfRegion, 3, new(SetMessageStatus),
		new(MessageStatus)},
	CmdDeleteMessage: {"DeleteMessage", OfRegion, 3, new(DeleteMessage), nil},
	CmdSpoolOffer:    {"SpoolOffer", OfRegion, 3, new(SpoolOffer), nil},
	CmdOpenSession:   {"OpenSession", OfRegion, 3, new(OpenSession), new(Session)},
	CmdEndSessions:   {"EndSessions", OfRegion, 3, new(EndSessions), new(EndedSessions)},
	CmdEndSessionsOf: {"EndSessionsOf", OfRegion, 3, new(EndSessionsOf), new(EndedSessions)},
	CmdLockAccess:    {"LockAccess", OfRegion, 3, new(LockAccess), nil},
	CmdUnlockAccess:  {"UnlockAccess", OfRegion, 3, new(UnlockAccess), new(AccessState)},

	CmdFound:          {"Found", OfFederation, 1, new(Map), nil},
	CmdPutInstitution: {"PutInstitution", OfFederation, 1, new(Institution), nil},
	CmdPutService:     {"PutService", OfFederation, 1, new(Service), nil},
	CmdSetKey:         {"SetKey", OfFederation, 1, new(SetKey), nil},
	CmdDirectory:      {"Directory", OfFederation, 1, new(DirectoryOps), new(DirectoryResults)},

	CmdMembers:          {"Members", OfFederation, 2, new(MemberChange), nil},
	CmdToken:            {"Token", OfFederation, 2, new(JoinToken), nil},
	CmdEnrol:            {"Enrol", OfFederation, 2, new(Enrolment), new(JoinToken)},
	CmdDealSlots:        {"DealSlots", OfFederation, 2, new(DealSlots), nil},
	CmdSettleSlots:      {"SettleSlots", OfFederation, 2, new(SettleSlots), nil},
	CmdPublishRegionKey: {"PublishRegionKey", OfFederation, 2, new(PublishRegionKey), nil},
	CmdAddAuthority:     {"AddAuthority", OfFederation, 2, new(Authority), nil},
	CmdRemoveAuthority:  {"RemoveAuthority", OfFederation, 2, new(AuthorityRef), nil},
	CmdRevoke:           {"Revoke", OfFederation, 2, new(Revocation), nil},
	CmdFinalise:         {"Finalise", OfFederation, 2, new(RaiseVersion), nil},
	CmdFenceRegion:      {"FenceRegion", OfFederation, 2, new(FenceRegion), nil},
	CmdReport:           {"Report", OfFederation, 2, new(OwnershipReport), nil},
	CmdWaiveReport:      {"WaiveReport", OfFederation, 2, new(WaiveReport), nil},
	CmdMoveDirectory:    {"MoveDirectory", OfFederation, 2, new(DirectoryOps), new(DirectoryResults)},
	CmdMoveOrder:        {"MoveOrder", OfFederation, 2, new(MoveOrder), new(DirectoryEntry)},
	CmdRegionOrder:      {"RegionOrder", OfFederation, 2, new(RegionOrder), nil},
	CmdAudit:            {"Audit", OfFederation, 2, new(Audited), Frame{"the command's", nil}},

	CmdConfirmFederationTime: {"ConfirmFederationTime", OfFederation, 3, new(ConfirmTime),
		new(TimeConfirmed)},
	CmdAsk:                 {"Ask", OfFederation, 3, new(PendingRequest), new(PendingRequest)},
	CmdWithdraw:            {"Withdraw", OfFederation, 3, new(PendingRef), nil},
	CmdSetApprovals:        {"SetApprovals", OfFederation, 3, new(Approvals), nil},
	CmdSetRecoveryKey:      {"SetRecoveryKey", OfFederation, 3, new(SetRecoveryKey), nil},
	CmdPutRemoteContent:    {"PutRemoteContent", OfFederation, 3, new(RemoteContent), nil},
	CmdRemoveRemoteContent: {"RemoveRemoteContent", OfFederation, 3, new(RemoteContentRef), nil},
}

// Since is the version that introduced the kind; 0 for one that this program does not know.
func (k CommandKind) Since() uint32 { return commandKinds[k].Since }

// Since is the version that introduced the kind; 0 for one that this program does not know.
func (k EntryKind) Since() uint32 {
	if int(k) >= len(entryKinds) {
		return 0
	}
	return entryKinds[k].Since
}

// CommandKinds are the kinds of commands that this program knows, by number.
func CommandKinds() iter.Seq2[CommandKind, *Kind] { return known[CommandKind](commandKinds[:]) }

func known[K ~uint8](table []Kind) iter.Seq2[K, *Kind] {
	return func(yield func(K, *Kind) bool) {
		for n := range table {
			if table[n].Since > 0 && !yield(K(n), &table[n]) {
				return
			}
		}
	}
}

// Unknown is why a replica stops at a command of this kind.
func (k CommandKind) Unknown() *Error {
	return Errorf(UnknownKind, "command kind %d is of a version above %d, the newest that this "+
		"program knows", k, Version)
}
