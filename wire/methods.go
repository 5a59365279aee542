package wire

import "iter"

// Method names a call of the relay protocol. A call is one request frame and one answer frame; the
// answer of a stream is a sequence of frames.
type Method uint16

// The calls.
const (
	MethodHello        Method = 1
	MethodResolve      Method = 2
	MethodServiceByKey Method = 3
	MethodServiceByID  Method = 4
	MethodFeed         Method = 5

	MethodSubmit        Method = 10
	MethodFindMessage   Method = 11
	MethodSenderProfile Method = 12

	MethodLogin         Method = 20
	MethodLogout        Method = 21
	MethodGetSession    Method = 22
	MethodGetProfile    Method = 23
	MethodSetProfile    Method = 24
	MethodGetPreference Method = 25
	MethodSetPreference Method = 26
	MethodListInbox     Method = 27
	MethodGetInbox      Method = 28

	MethodSetMessageStatus Method = 29

	// MethodRelease goes to an anchor's leader; its results are RowPages.
	MethodRelease    Method = 30
	MethodFederation Method = 31

	MethodPutInstitution Method = 40
	MethodPutService     Method = 41
	MethodSetKey         Method = 42
	MethodGetMap         Method = 43

	// MethodSpool is a gateway's, to its home region.
	MethodSpool Method = 50
	// MethodFindSpooled goes to the region that the id's tag names. NotFound when its spool never
	// had the message.
	MethodFindSpooled Method = 51
	// MethodRelay is a home region's leader's, to the owner.
	MethodRelay Method = 52
	// MethodProbeRegion is answered by a region's leader that can decide.
	MethodProbeRegion      Method = 53
	MethodRotateRegionKey  Method = 54
	MethodCountSpooled     Method = 55
	MethodPublishRegionKey Method = 56
	MethodDiscardSpooled   Method = 57

	MethodMove       Method = 60
	MethodGetMove    Method = 61
	MethodAbortMove  Method = 62
	MethodMoveOffer  Method = 63 // to the new owner, as the next two
	MethodMovePage   Method = 64
	MethodMoveRefuse Method = 65
	MethodOrderMove  Method = 66
	MethodFetchMoved Method = 67 // to a restored region
	MethodListMoved  Method = 68 // to the earlier owner, as the next
	MethodCopyMoved  Method = 69

	// MethodMembers goes to the leader of the group that it names.
	MethodMembers            Method = 70
	MethodChangeMembers      Method = 71
	MethodTransferLeadership Method = 72
	MethodPutToken           Method = 73
	MethodTokens             Method = 74
	MethodEnrol              Method = 75
	MethodSign               Method = 76
	MethodConfirmMap         Method = 77
	MethodSeed               Method = 78

	MethodIdentities      Method = 80
	MethodAddAuthority    Method = 81
	MethodRemoveAuthority Method = 82
	MethodRevoke          Method = 83

	MethodListAudit        Method = 85
	MethodStatus           Method = 86
	MethodProbe            Method = 87
	MethodListInstitutions Method = 88
	MethodListServices     Method = 89
	MethodExplain          Method = 90
	MethodFindRecipients   Method = 91

	MethodBackup       Method = 95
	MethodReadBackup   Method = 96 // of a copy that the same node holds open
	MethodIncarnations Method = 97
	MethodFenceRegion  Method = 98
	MethodReport       Method = 99
	MethodWaiveReport  Method = 100
	MethodRestores     Method = 101
	MethodReadIndex    Method = 102

	MethodReplica        Method = 105
	MethodUpgrade        Method = 106
	MethodFinalise       Method = 107
	MethodReleaseBallast Method = 108
	MethodOrderRegion    Method = 109

	MethodHandOverSlot Method = 110 // to the old holder
	MethodDealSlots    Method = 111
	MethodSettleSlots  Method = 112

	// MethodAttest comes before either node takes part in a group with the other, and whenever it
	// has more on its disk.
	MethodAttest Method = 130

	MethodWhoami Method = 145
	MethodMay    Method = 146 // goes where the call would go that it asks about

	MethodNoteRead  Method = 147
	MethodListReads Method = 148

	MethodApprove      Method = 150
	MethodWithdraw     Method = 151
	MethodListPending  Method = 152
	MethodSetApprovals Method = 153

	MethodSetRecoveryKey Method = 164

	// Certificates are renewed unattended by the leader of the holder's region, which keeps what was
	// asked in memory.
	MethodAskRenewal    Method = 172
	MethodListRenewals  Method = 173
	MethodSettleRenewal Method = 174

	// MethodRecall is asked within a region before one judges a node that it sees for the first
	// time.
	MethodRecall Method = 180

	MethodOpenSession   Method = 190
	MethodListSessions  Method = 191
	MethodEndSessions   Method = 192
	MethodSessionsOf    Method = 193
	MethodEndSessionsOf Method = 194
	MethodLockAccess    Method = 195
	MethodUnlockAccess  Method = 196
	MethodAccessState   Method = 197

	MethodDeleteMessage Method = 210
	MethodCountMessages Method = 211
	MethodSearchInbox   Method = 212
	// MethodStaleRead goes to every node of a region that has no leader.
	MethodStaleRead Method = 213

	MethodCatalogue           Method = 230
	MethodPutRemoteContent    Method = 231
	MethodRemoveRemoteContent Method = 232
	MethodListRemoteContents  Method = 233
	MethodRemoteContent       Method = 234
)

// Effect says what a second copy of a call's request does.
type Effect uint8

// The effects.
const (
	// Once: between two copies another change may come in, which the second one would undo or
	// stumble over. A gateway does not send it again when it does not know what became of it.
	// An operator's client does: who gave the order still wants it.
	Once Effect = 1 + iota
	// Repeatable: a second copy changes nothing more.
	Repeatable
	// ReadOnly: it changes nothing at all, but for lines of who asked.
	ReadOnly
)

// Call is all that is declared of a call, but for who may make it, which is its answerer's to say.
type Call struct {
	Name   string
	Group  Group
	Effect Effect
	// Request and Answer are as in Kind. A Frame called "stream" is a sequence of messages.
	Request, Answer any
}

// methods has every call under its number. What was released is never changed, and no number is
// used twice.
var methods = [...]Call{
	MethodHello:   {"Hello", AnyGroup, ReadOnly, new(Hello), new(Welcome)},
	MethodResolve: {"Resolve", OfFederation, ReadOnly, new(Resolve), new(Resolved)},
	MethodServiceByKey: {"ServiceByKey", OfFederation, ReadOnly, new(ServiceByKey),
		new(ServiceAccess)},
	MethodServiceByID: {"ServiceByID", OfFederation, ReadOnly, new(ServiceByID),
		new(ServiceAccess)},
	MethodFeed: {"Feed", OfFederation, ReadOnly, new(Feed), stream(new(FeedFrame))},

	MethodSubmit: {"Submit", OfRegion, Repeatable, Frame{"block", new(Record)},
		new(Outcomes)},
	MethodFindMessage: {"FindMessage", OfRegion, ReadOnly, new(FindMessage), new(MessageView)},
	MethodSenderProfile: {"SenderProfile", OfRegion, ReadOnly, new(SenderProfileQuery),
		new(SenderProfile)},

	// Nobody can know the session's token before the answer, and the same session twice is one.
	MethodLogin:      {"Login", OfRegion, Repeatable, new(Login), new(Session)},
	MethodLogout:     {"Logout", OfRegion, Repeatable, new(Logout), nil},
	MethodGetSession: {"GetSession", OfRegion, ReadOnly, new(SessionRef), new(Session)},
	MethodGetProfile: {"GetProfile", OfRegion, ReadOnly, new(SessionRef), new(Profile)},
	MethodSetProfile: {"SetProfile", OfRegion, Once, new(SetProfile), new(Profile)},
	MethodGetPreference: {"GetPreference", OfRegion, ReadOnly, new(GetPreference),
		new(Preference)},
	MethodSetPreference: {"SetPreference", OfRegion, Once, new(SetPreference), new(Preference)},
	MethodListInbox:     {"ListInbox", OfRegion, ReadOnly, new(ListInbox), new(InboxPage)},
	MethodGetInbox:      {"GetInbox", OfRegion, ReadOnly, new(GetInbox), new(InboxMessage)},
	MethodDeleteMessage: {"DeleteMessage", OfRegion, Repeatable, new(DeleteMessage), nil},
	MethodSearchInbox:   {"SearchInbox", OfRegion, ReadOnly, new(SearchInbox), new(InboxPage)},
	MethodCountMessages: {"CountMessages", OfRegion, ReadOnly, new(SessionRef), new(MessageCounts)},
	MethodStaleRead:     {"StaleRead", OfRegion, ReadOnly, new(StaleRead), new(StaleAnswer)},
	MethodSetMessageStatus: {"SetMessageStatus", OfRegion, Once, new(SetMessageStatus),
		new(MessageStatus)},

	MethodRelease: {"Release", OfRegion, Repeatable, new(ReleaseBatch), new(Results)},
	MethodFederation: {"Federation", OfFederation, Repeatable, new(DirectoryOps),
		new(DirectoryResults)},

	MethodPutInstitution: {"PutInstitution", OfFederation, Once, new(Institution), nil},
	MethodPutService:     {"PutService", OfFederation, Once, new(ServiceSpec), nil},
	MethodSetKey:         {"SetKey", OfFederation, Once, new(SetKey), nil},
	MethodGetMap:         {"GetMap", OfFederation, ReadOnly, nil, new(Map)},

	MethodSpool: {"Spool", OfRegion, Repeatable, new(SpoolBlock), new(Spooled)},
	MethodFindSpooled: {"FindSpooled", OfRegion, ReadOnly, new(FindMessage),
		new(SpooledView)},
	MethodRelay:       {"Relay", OfRegion, Repeatable, new(Relay), new(Relayed)},
	MethodProbeRegion: {"ProbeRegion", OfRegion, ReadOnly, nil, nil},
	MethodRotateRegionKey: {"RotateRegionKey", OfRegion, Repeatable, new(RotateRegionKey),
		new(RegionKeyInfo)},
	MethodCountSpooled: {"CountSpooled", OfRegion, ReadOnly, new(CountSpooled),
		new(SpoolStatus)},
	MethodPublishRegionKey: {"PublishRegionKey", OfFederation, Repeatable,
		new(PublishRegionKey), nil},
	MethodDiscardSpooled: {"DiscardSpooled", OfRegion, Repeatable, new(DiscardSpooled),
		new(DiscardedSpooled)},

	MethodMove:       {"Move", OfRegion, Once, new(MoveIntent), new(Move)},
	MethodGetMove:    {"GetMove", OfRegion, ReadOnly, new(MoveRef), new(Move)},
	MethodAbortMove:  {"AbortMove", OfRegion, Once, new(MoveRef), new(Move)},
	MethodMoveOffer:  {"MoveOffer", OfRegion, Repeatable, new(MoveStep), new(MoveProgress)},
	MethodMovePage:   {"MovePage", OfRegion, Repeatable, new(MovePage), new(MoveProgress)},
	MethodMoveRefuse: {"MoveRefuse", OfRegion, Repeatable, new(MoveStep), new(MoveProgress)},
	MethodOrderMove:  {"OrderMove", OfFederation, Once, new(MoveOrder), new(DirectoryEntry)},
	MethodFetchMoved: {"FetchMoved", OfRegion, Repeatable, new(FetchMoved), new(FetchedMoved)},
	MethodListMoved:  {"ListMoved", OfRegion, ReadOnly, new(ListMoved), new(MovedList)},
	MethodCopyMoved:  {"CopyMoved", OfRegion, ReadOnly, new(CopyMoved), new(MovePage)},

	MethodMembers:            {"Members", AnyGroup, ReadOnly, new(GroupRef), new(GroupMembers)},
	MethodChangeMembers:      {"ChangeMembers", OfFederation, Once, new(MemberChange), new(Map)},
	MethodTransferLeadership: {"TransferLeadership", AnyGroup, Once, new(LeadershipTransfer), nil},
	MethodPutToken:           {"PutToken", OfFederation, Once, new(JoinToken), nil},
	MethodTokens:             {"Tokens", OfFederation, ReadOnly, nil, new(JoinTokens)},
	MethodEnrol:              {"Enrol", OfFederation, Repeatable, new(EnrolRequest), new(JoinToken)},
	MethodSign:               {"Sign", OfFederation, Once, new(Enrolment), nil},
	MethodConfirmMap:         {"ConfirmMap", OfFederation, ReadOnly, nil, new(MapVersion)},
	MethodSeed:               {"Seed", AnyGroup, ReadOnly, new(Seed), stream(new(SeedFrame))},

	MethodIdentities:      {"Identities", AnyGroup, ReadOnly, nil, new(Identities)},
	MethodAddAuthority:    {"AddAuthority", OfFederation, Once, new(Authority), nil},
	MethodRemoveAuthority: {"RemoveAuthority", OfFederation, Once, new(AuthorityRef), nil},
	MethodRevoke:          {"Revoke", OfFederation, Once, new(Revocation), nil},

	MethodListAudit: {"ListAudit", OfFederation, ReadOnly, new(ListAudit), new(AuditPage)},
	MethodStatus:    {"Status", AnyGroup, ReadOnly, new(StatusQuery), new(NodeStatus)},
	MethodProbe:     {"Probe", AnyGroup, ReadOnly, new(Probe), new(ProbeReport)},
	MethodListInstitutions: {"ListInstitutions", OfFederation, ReadOnly, new(ListRegistry),
		new(InstitutionPage)},
	MethodListServices: {"ListServices", OfFederation, ReadOnly, new(ListRegistry),
		new(ServicePage)},
	MethodExplain: {"Explain", OfRegion, ReadOnly, new(Explain), new(Explanation)},
	MethodFindRecipients: {"FindRecipients", OfRegion, ReadOnly, new(FindRecipients),
		new(FoundRecipients)},

	MethodBackup: {"Backup", AnyGroup, ReadOnly, new(OpenBackup), stream(new(BackupFrame))},
	MethodReadBackup: {"ReadBackup", AnyGroup, ReadOnly,
		new(ReadBackup), Frame{"a piece", nil}},
	MethodIncarnations: {"Incarnations", AnyGroup, ReadOnly, nil, new(Incarnations)},
	MethodFenceRegion:  {"FenceRegion", OfFederation, Once, new(FenceRegion), nil},
	MethodReport:       {"Report", OfFederation, Repeatable, new(OwnershipReport), nil},
	MethodWaiveReport:  {"WaiveReport", OfFederation, Once, new(WaiveReport), nil},
	MethodRestores:     {"Restores", AnyGroup, ReadOnly, nil, new(Restores)},
	MethodReadIndex:    {"ReadIndex", AnyGroup, ReadOnly, new(GroupRef), new(ReadIndex)},

	MethodReplica:        {"Replica", AnyGroup, ReadOnly, new(ReplicaQuery), new(Replica)},
	MethodUpgrade:        {"Upgrade", OfFederation, ReadOnly, nil, new(Upgrade)},
	MethodFinalise:       {"Finalise", OfFederation, Once, new(RaiseVersion), nil},
	MethodReleaseBallast: {"ReleaseBallast", AnyGroup, Once, nil, new(Ballast)},
	MethodOrderRegion:    {"OrderRegion", OfFederation, Once, new(RegionOrder), nil},

	MethodHandOverSlot: {"HandOverSlot", OfRegion, Repeatable, new(HandOverSlot), new(SlotPage)},
	MethodDealSlots:    {"DealSlots", OfFederation, Once, new(DealSlots), nil},
	MethodSettleSlots:  {"SettleSlots", OfFederation, Repeatable, new(SettleSlots), nil},

	MethodAttest:   {"Attest", AnyGroup, Repeatable, new(Attestation), new(Attested)},
	MethodWhoami:   {"Whoami", AnyGroup, ReadOnly, nil, new(Whoami)},
	MethodMay:      {"May", AnyGroup, ReadOnly, new(May), nil},
	MethodNoteRead: {"NoteRead", OfRegion, Once, new(ReadNote), nil},

	MethodListReads: {"ListReads", OfRegion, ReadOnly, new(ListAudit), new(AuditPage)},

	MethodApprove:      {"Approve", OfFederation, Once, new(PendingRef), nil},
	MethodWithdraw:     {"Withdraw", OfFederation, Once, new(PendingRef), nil},
	MethodListPending:  {"ListPending", OfFederation, ReadOnly, nil, new(PendingList)},
	MethodSetApprovals: {"SetApprovals", OfFederation, Once, new(Approvals), nil},

	MethodSetRecoveryKey: {"SetRecoveryKey", OfFederation, Once, new(SetRecoveryKey), nil},

	// One request is one request as often as it is asked.
	MethodAskRenewal:    {"AskRenewal", AnyGroup, Repeatable, new(AskRenewal), new(Renewal)},
	MethodListRenewals:  {"ListRenewals", AnyGroup, ReadOnly, nil, new(Renewals)},
	MethodSettleRenewal: {"SettleRenewal", AnyGroup, Once, new(SettleRenewal), nil},

	MethodRecall: {"Recall", AnyGroup, ReadOnly, nil, new(Sightings)},

	// As of Login.
	MethodOpenSession:  {"OpenSession", OfRegion, Repeatable, new(OpenSession), new(Session)},
	MethodListSessions: {"ListSessions", OfRegion, ReadOnly, new(SessionRef), new(SessionList)},
	// A session that is opened meanwhile is not to end by a copy.
	MethodEndSessions: {"EndSessions", OfRegion, Once, new(EndSessions), new(EndedSessions)},
	MethodSessionsOf:  {"SessionsOf", OfRegion, ReadOnly, new(SessionsOf), new(SessionList)},
	MethodEndSessionsOf: {"EndSessionsOf", OfRegion, Once, new(EndSessionsOf),
		new(EndedSessions)},
	MethodLockAccess:   {"LockAccess", OfRegion, Once, new(LockAccess), nil},
	MethodUnlockAccess: {"UnlockAccess", OfRegion, Once, new(UnlockAccess), new(AccessState)},
	MethodAccessState:  {"AccessState", OfRegion, ReadOnly, new(SessionRef), new(AccessState)},

	MethodPutRemoteContent: {"PutRemoteContent", OfFederation, Once, new(RemoteContentSpec), nil},
	MethodRemoveRemoteContent: {"RemoveRemoteContent", OfFederation, Once,
		new(RemoteContentRef), nil},
	MethodListRemoteContents: {"ListRemoteContents", OfFederation, ReadOnly, new(ListRegistry),
		new(RemoteContentPage)},
	MethodRemoteContent: {"RemoteContent", OfFederation, ReadOnly, new(RemoteContentRef),
		new(RemoteContent)},
	MethodCatalogue: {"Catalogue", OfFederation, ReadOnly, new(ListCatalogue), new(CataloguePage)},
}

func stream(of any) Frame { return Frame{Name: "stream", Of: of} }

// Call is what is declared of the call; nil for one that this program does not know.
func (m Method) Call() *Call {
	if int(m) >= len(methods) || methods[m].Effect == 0 {
		return nil
	}
	return &methods[m]
}

// ReadOnly reports whether the call changes nothing.
func (m Method) ReadOnly() bool {
	c := m.Call()
	return c != nil && c.Effect == ReadOnly
}

// Repeatable reports whether a second copy of the request changes nothing more.
func (m Method) Repeatable() bool {
	c := m.Call()
	return c != nil && c.Effect >= Repeatable
}

// Methods are the calls that this program knows, by number.
func Methods() iter.Seq2[Method, *Call] {
	return func(yield func(Method, *Call) bool) {
		for n := range methods {
			if methods[n].Effect > 0 && !yield(Method(n), &methods[n]) {
				return
			}
		}
	}
}
