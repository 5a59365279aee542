package node

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// callers says who may call what. N: nodes, G: gateways, O: operators, J: a node that joins. What
// a node may ask of another region than its own is the handler's to decide.
var callers = map[string]string{
	"Hello":        "NGO", // its answer holds the directory key
	"Resolve":      "GO",
	"ServiceByKey": "GO",
	"ServiceByID":  "GO",
	"Feed":         "G",

	"Submit":        "G",
	"FindMessage":   "G",
	"SenderProfile": "G",
	"Login":         "G",
	"Logout":        "G",
	"GetSession":    "G",
	"GetProfile":    "G",
	"SetProfile":    "G",
	"GetPreference": "G",
	"SetPreference": "G",
	"ListInbox":     "G",
	"GetInbox":      "G",

	"Release":    "N",
	"Federation": "N",

	"PutInstitution": "O",
	"PutService":     "O",
	"SetKey":         "O",
	"GetMap":         "GO",

	"Spool":            "G",
	"FindSpooled":      "NGO",
	"Relay":            "N",
	"ProbeRegion":      "NG",
	"RotateRegionKey":  "O",
	"CountSpooled":     "NO",
	"PublishRegionKey": "NO",

	"Move":       "GO", // an operator without a session, a gateway with one
	"GetMove":    "GO",
	"AbortMove":  "O",
	"MoveOffer":  "N",
	"MovePage":   "N",
	"MoveRefuse": "N",
	"OrderMove":  "O",

	"Members":       "NO",
	"ChangeMembers": "O",
	"HandOver":      "O",
	"PutToken":      "O",
	"Tokens":        "O",
	"Enrol":         "NJ", // the only call of who joins; nodes pass it on
	"Sign":          "O",
	"ConfirmMap":    "N",
	"Seed":          "N",

	"Whoami": "O",
	"May":    "O",

	"Attest": "N",
	"Recall": "N", // of the same region

	"Approve":      "O",
	"Withdraw":     "O",
	"ListPending":  "O",
	"SetApprovals": "O",

	"AskRenewal":    "NG", // for itself only
	"ListRenewals":  "O",
	"SettleRenewal": "O",

	"NoteRead":  "N",
	"ListReads": "O",

	"Identities": "O",
	"AddRoot":    "O",
	"RemoveRoot": "O",
	"Revoke":     "O",

	"ListAudit":        "O",
	"Status":           "NO",
	"Probe":            "NO",
	"ListInstitutions": "O",
	"ListServices":     "O",
	"Explain":          "O",
	"FindRecipients":   "O",

	"Backup":         "O",
	"ReadBackup":     "O",
	"SetRecoveryKey": "O",
	"Incarnations":   "N",
	"FenceRegion":    "O",
	"Report":         "N",
	"ForgoReport":    "O",
	"Restores":       "O",
	"ReadIndex":      "N",

	"Replica":        "N",
	"Upgrade":        "O",
	"Finalise":       "O",
	"ReleaseBallast": "O",

	"OrderRegion":    "O",
	"DiscardSpooled": "O",
	"FetchMoved":     "O",
	"ListMoved":      "N",
	"CopyMoved":      "N",

	"HandOverSlot": "N",
	"DealSlots":    "O",
	"SettleSlots":  "NO",
}

// TestCallers holds what a node answers, and for whom, against the table above: a new call needs a
// line there, which somebody has thought about.
func TestCallers(t *testing.T) {
	named := methods()
	answered := made(t).link.Methods()
	letters := map[link.Role]string{link.RoleNode: "N", link.RoleGateway: "G",
		link.RoleOperator: "O", link.RoleJoiner: "J"}
	for name, m := range named {
		want, listed := callers[name]
		if !listed {
			t.Errorf("Method%s (%d) is not in the table of callers", name, m)
			continue
		}
		got := map[string]bool{}
		for _, r := range answered[m] {
			got[letters[r]] = true
		}
		for _, l := range strings.Split("NGOJ", "") {
			if got[l] != strings.Contains(want, l) {
				t.Errorf("Method%s: answered for %v, the table says %q", name, answered[m], want)
				break
			}
		}
		delete(answered, m)
	}
	for name := range callers {
		if _, ok := named[name]; !ok {
			t.Errorf("the table has Method%s, which does not exist", name)
		}
	}
	for m := range answered {
		t.Errorf("method %d is answered and has no name", m)
	}
}

// methods are the names and numbers of all calls.
func methods() map[string]wire.Method {
	named := map[string]wire.Method{}
	for m, call := range wire.Methods() {
		named[call.Name] = m
	}
	return named
}

// made is a node that never serves.
func made(t *testing.T) *Node {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	file := founding.File{Federation: "italia", Regions: []founding.Region{{ID: "lazio", Tag: 1}},
		Nodes: []founding.Node{{ID: "lazio-1", Region: "lazio", Voter: true,
			Addr: conn.LocalAddr().String()}}}
	m, err := file.Map()
	if err != nil {
		t.Fatal(err)
	}
	authority, err := ca.New("italia", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	id := link.Identity{Federation: "italia", Role: link.RoleNode, Region: "lazio", Name: "lazio-1"}
	certPEM, keyPEM, err := authority.Issue(id.URI(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(Config{ID: "lazio-1", Region: "lazio", Founding: m, Dir: t.TempDir(),
		DirectoryKey: wire.DirectoryKey{1}, PacketConn: conn, Roots: authority.Roots,
		Certificate: func() (*tls.Certificate, error) { return &cert, nil }})
	if err != nil {
		t.Fatal(fmt.Errorf("the node is not made: %w", err))
	}
	t.Cleanup(func() {
		if err := n.close(); err != nil {
			t.Error(err)
		}
	})
	return n
}
