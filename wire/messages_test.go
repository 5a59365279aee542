package wire

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/codec"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// messages are all messages of the wire, one value each.
func messages() []codec.Message {
	return []codec.Message{new(Error), new(Record), new(Content), new(Flag), new(Date),
		new(Payment), new(ThirdParty), new(EUCovidCert), new(Summary), new(Verdict), new(Outcome),
		new(Outcomes), new(Command), new(Commands), new(Result), new(Results), new(Session),
		new(Login), new(Logout), new(Blocked), new(Profile), new(SetProfile), new(ProfileUpdate),
		new(Preference), new(SetPreference), new(GetPreference), new(SessionRef), new(ListInbox),
		new(InboxPage), new(InboxItem), new(GetInbox), new(InboxMessage), new(Ownership),
		new(GrantSlots), new(ClaimIntent), new(ClaimAbort), new(Release), new(RowPage), new(Row),
		new(Import), new(PendingDone), new(EraseBlock), new(Expire), new(Map), new(Region), new(Node),
		new(RegionKey), new(Trust), new(Revocation), new(SlotDeal), new(DealSlots),
		new(SettleSlots), new(FenceSlot), new(HandOverSlot), new(SlotPage), new(ImportSlot),
		new(SlotMark),
		new(Gateway), new(Institution), new(Service), new(ServiceMetadata), new(SetKey),
		new(DirectoryEntry), new(DirectoryOp), new(DirectoryOps), new(DirectoryResult),
		new(DirectoryResults), new(Hello), new(Welcome), new(Resolve), new(Resolved),
		new(ServiceByKey), new(ServiceByID), new(ServiceAccess), new(Feed), new(FeedFrame),
		new(FeedEvent), new(FindMessage), new(MessageView), new(SenderProfileQuery),
		new(SenderProfile), new(ReleaseBatch), new(ServiceSpec),
		new(MemberChange), new(RegionChange), new(NodeChange), new(NodeRemoval), new(JoinToken),
		new(JoinTokens), new(Enrolment), new(EnrolRequest), new(GroupRef), new(GroupMembers),
		new(GroupMember), new(LeadershipTransfer), new(MapVersion), new(Seed), new(SeedFrame),
		new(Audited), new(AuditLine), new(ListAudit), new(AuditPage), new(Freshness),
		new(ListRegistry), new(InstitutionPage), new(ServicePage), new(StatusQuery), new(NodeStatus),
		new(GroupStatus), new(FollowerStatus), new(DiskStatus), new(CertificateStatus), new(Probe),
		new(ProbeReport), new(SelfProbe), new(PeerProbe), new(Explain),
		new(Explanation), new(VerdictBasis), new(FindRecipients), new(FoundRecipients),
		new(RaiseVersion), new(StateDigest), new(ReplicaQuery), new(Replica), new(Upgrade),
		new(NodeVersion), new(Ballast),
		new(PrivateRegionKey), new(PublishRegionKey), new(RotateRegionKey), new(RegionKeyInfo),
		new(SealedBlock), new(SpoolBlock), new(Spool), new(Spooled), new(Relay), new(Relayed),
		new(RelayedBlock), new(Resealed), new(SpoolDone), new(SpoolExpire), new(SpoolOffer), new(SpooledView),
		new(CountSpooled), new(SpoolStatus),
		new(Authority), new(AuthorityRef), new(Credential), new(Identities),
		new(OpenBackup), new(BackupFrame), new(BackupHead), new(BackupFile), new(ReadBackup),
		new(Incarnations), new(FenceRegion), new(Standing), new(Reconcile), new(ReconcileCounts),
		new(OwnershipReport), new(WaiveReport), new(Restores), new(Restore), new(ReadIndex),
		new(MoveIntent), new(MoveRef), new(Move), new(MoveStep), new(MovePage), new(MoveProgress),
		new(MoveErase), new(MoveErased), new(MoveOrder), new(RegionOrder), new(DiscardSpooled),
		new(DiscardedSpooled), new(FetchMoved), new(FetchedMoved), new(ListMoved), new(MovedList),
		new(CopyMoved), new(ConfirmTime), new(TimeConfirmed),
		new(Attestation), new(HeldBy), new(Attested), new(Sightings), new(Sighting),
		new(AuthorityBound), new(Whoami), new(May),
		new(PendingRequest), new(PendingRef), new(PendingList), new(Approvals),
		new(ReadNote), new(deadlined),
		new(SetRecoveryKey), new(CopyKey), new(SealedKey),
		new(AskRenewal), new(Renewal), new(PendingRenewal), new(Renewals), new(SettleRenewal),
		new(SetMessageStatus), new(MessageStatus),
		new(OpenSession), new(SessionList), new(SessionView), new(EndSessions), new(EndedSessions),
		new(Arrival),
		new(ListCatalogue), new(CataloguePage), new(CatalogueService), new(CatalogueInstitution),
		new(DeleteMessage), new(MessageCounts), new(SearchInbox),
		new(SessionsOf), new(EndSessionsOf), new(LockAccess), new(UnlockAccess), new(AccessState),
		new(RemoteContent), new(RemoteServer), new(RemoteContentSpec), new(RemoteContentRef),
		new(RemoteContentPage),
		new(StaleRead), new(StaleAnswer)}
}

// late are fields that came after their message's golden bytes, by message and name, each with a seed
// of its own: the line of its message is then the only one that changes. A message that is new stands
// at the end of the list, for the same reason.
var late = map[string]uint64{"InboxPage.Before": 1,
	"Session.ID": 2, "Session.Level": 3, "Session.Device": 4, "Session.Provider": 5, "Session.Ref": 6,
	"Session.Key": 7, "Session.EndsAt": 8, "Session.RenewedAt": 9, "Session.Incarnation": 10,
	"InboxPage.Arrived": 11, "ListInbox.Arrived": 12}

// fill sets every field of v to something that is not zero.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(1 + r.Uint64N(255))
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1 + r.Uint64N(1<<15))
	case reflect.Int64:
		v.SetInt(1 + r.Int64N(1<<50) - 1<<49)
	case reflect.Float64:
		v.SetFloat(r.Float64() + 1)
	case reflect.String:
		v.SetString(fmt.Sprintf("s%d", r.Uint32()))
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(r, v.Index(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			from := r
			if seed := late[v.Type().Name()+"."+v.Type().Field(i).Name]; seed != 0 {
				from = rand.New(rand.NewPCG(seed, seed))
			}
			fill(from, v.Field(i))
		}
	default:
		panic("no filling for " + v.Type().String())
	}
}

// TestEveryFieldTravels fails for a field that Fields forgot, or declared twice.
func TestEveryFieldTravels(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, m := range messages() {
		fill(r, reflect.ValueOf(m).Elem())
		got := reflect.New(reflect.TypeOf(m).Elem()).Interface().(codec.Message)
		if err := Decode(Encode(m), got); err != nil {
			t.Errorf("%T: %v", m, err)
		} else if !reflect.DeepEqual(got, m) {
			t.Errorf("%T: got %+v, want %+v", m, got, m)
		}
	}
}

// TestListOfMessagesIsComplete fails for a message that messages does not name.
func TestListOfMessagesIsComplete(t *testing.T) {
	named := map[string]bool{}
	for _, m := range messages() {
		named[reflect.TypeOf(m).Elem().Name()] = true
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			head, ok := strings.CutSuffix(strings.SplitN(line, ") Fields(", 2)[0], "")
			if !ok || !strings.HasPrefix(line, "func (") || !strings.Contains(line, ") Fields(") {
				continue
			}
			name := head[strings.LastIndex(head, "*")+1:]
			if strings.HasSuffix(name, "Form") {
				continue // another message that is only looked at, see codec.UnmarshalForm
			}
			if !named[name] {
				t.Errorf("%s: message %s is not in messages()", f.Name(), name)
			}
		}
	}
}

// TestGolden holds the bytes of every message, so that no change of a field's number or type
// goes unseen. A field may be added; what stands here must go on decoding. What is logged or stored
// must do so for ever, and is kept apart from what merely travels.
func TestGolden(t *testing.T) {
	forEver := logged(t)
	r := rand.New(rand.NewPCG(3, 4))
	var kept, travels bytes.Buffer
	for _, m := range messages() {
		fill(r, reflect.ValueOf(m).Elem())
		name, out := reflect.TypeOf(m).Elem().Name(), &travels
		if forEver[name] {
			out = &kept
		}
		fmt.Fprintf(out, "%s %s\n", name, hex.EncodeToString(Encode(m)))
	}
	golden(t, "testdata/logged/messages.golden", kept.Bytes())
	golden(t, "testdata/travelling/messages.golden", travels.Bytes())
}

// golden compares got with a file and prints the lines that differ.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for line := range strings.Lines(string(want)) {
		missing[line] = true
	}
	var diff strings.Builder
	for line := range strings.Lines(string(got)) {
		if !missing[line] {
			diff.WriteString("+ " + line)
		}
		delete(missing, line)
	}
	for line := range strings.Lines(string(want)) {
		if missing[line] {
			diff.WriteString("- " + line)
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: the bytes changed, from - to +; no line means another order\n%s", file,
			diff.String())
	}
}

func FuzzDecodeMessages(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for i, m := range messages() {
		fill(r, reflect.ValueOf(m).Elem())
		f.Add(uint8(i), Encode(m))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		list := messages()
		m := list[int(which)%len(list)]
		if Decode(b, m) != nil {
			return
		}
		again := messages()[int(which)%len(list)]
		if err := Decode(Encode(m), again); err != nil {
			t.Fatalf("%T does not decode again: %v", m, err)
		}
	})
}
