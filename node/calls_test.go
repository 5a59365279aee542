package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// TestCallsAreThoseOfWire: each is answered, of and with what wire says.
func TestCallsAreThoseOfWire(t *testing.T) {
	n := made(t)
	for m, declared := range wire.Methods() {
		c := n.seat.Table[m]
		if c == nil {
			t.Errorf("%s (%d) is not answered", declared.Name, m)
			continue
		}
		if c.Request == nil && c.Reply == nil {
			continue // see TestCallsOfBytes
		}
		reply := declared.Answer
		if f, ok := reply.(wire.Frame); ok && c.Stream != nil {
			reply = f.Of
		}
		for what, pair := range map[string][2]any{"request": {c.Request, declared.Request},
			"answer": {c.Reply, reply}} {
			got, want := pair[0], pair[1]
			if want == nil {
				want = (*seat.None)(nil)
			}
			if reflect.TypeOf(got) != reflect.TypeOf(want) {
				t.Errorf("%s: %s of type %T, wire says %T", declared.Name, what, got, want)
			}
		}
	}
	for m := range n.seat.Table {
		if m.Call() == nil {
			t.Errorf("method %d is answered and not declared", m)
		}
	}
	if got, want := len(n.seat.Link.Methods()), len(n.seat.Table); got != want {
		t.Errorf("%d calls are registered, %d are in the table", got, want)
	}
}

// TestCallsOfBytes: those without types are few.
func TestCallsOfBytes(t *testing.T) {
	var got []string
	n := made(t)
	for m, declared := range wire.Methods() {
		if c := n.seat.Table[m]; c != nil && c.Request == nil && c.Reply == nil {
			got = append(got, declared.Name)
		}
	}
	if want := []string{"Submit", "ReadBackup"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSites: a read of a region's state comes after a barrier, of a region that serves; a change is
// its leader's, or the federation's. Whatever is otherwise says why.
func TestSites(t *testing.T) {
	n := made(t)
	for m, declared := range wire.Methods() {
		c := n.seat.Table[m]
		var sites []seat.Site
		switch reads := m.ReadOnly(); {
		case declared.Group == wire.OfRegion && reads:
			sites = []seat.Site{seat.RegionShows, seat.RegionDecides}
		case declared.Group == wire.OfRegion:
			sites = []seat.Site{seat.RegionLeads, seat.RegionDecides}
		case declared.Group == wire.OfFederation && !reads:
			sites = []seat.Site{seat.FederationLeads}
		case declared.Group == wire.OfFederation:
			sites = []seat.Site{seat.AnyNode, seat.FederationLeads, seat.FederationShows}
		default:
			sites = []seat.Site{seat.AnyNode}
		}
		if usual := slices.Contains(sites, c.At); usual != (c.Why == "") {
			t.Errorf("%s: answered at site %d, where others of its kind are: %t, because %q",
				declared.Name, c.At, usual, c.Why)
		}
	}
}

// TestStaleReads: what may be answered without a leader is a citizen's read, under a session.
func TestStaleReads(t *testing.T) {
	n := made(t)
	for m, declared := range wire.Methods() {
		c := n.seat.Table[m]
		if !m.Stale() {
			continue
		}
		_, session := declared.Request.(*wire.SessionRef)
		if !session {
			f, ok := reflect.TypeOf(declared.Request).Elem().FieldByName("Token")
			session = ok && f.Type == reflect.TypeFor[wire.TokenHash]()
		}
		if !m.ReadOnly() || declared.Group != wire.OfRegion || c.Applied == nil || !session {
			t.Errorf("%s is answered without a leader", declared.Name)
		}
	}
	for _, m := range []wire.Method{wire.MethodSetProfile, wire.MethodFindMessage, 60000} {
		_, err := n.seat.StaleRead(t.Context(), link.Identity{}, &wire.StaleRead{Method: m})
		if !errors.Is(err, wire.Forbidden) {
			t.Errorf("method %d: got %v, want forbidden", m, err)
		}
	}
}

// TestGuards asks a node that leads nothing for everything, and then one of a region that was
// restored without it: no answerer is reached past its guards.
func TestGuards(t *testing.T) {
	n := made(t)
	ctx := t.Context()
	ask := func(c *seat.Call) error {
		_, err := c.Answer(ctx, link.Identity{Role: link.RoleNode, Region: "lazio"}, nil)
		return err
	}
	for m, c := range n.seat.Table {
		if c.At != seat.AnyNode && !errors.Is(ask(c), wire.NotLeader) {
			t.Errorf("%s: got %v, want not the leader", m.Call().Name, ask(c))
		}
	}
	restored := *n.seat.Founding
	restored.Regions = slices.Clone(restored.Regions)
	restored.Regions[0].Incarnation = 1
	n.seat.Founding = &restored
	for m, c := range n.seat.Table {
		ofRegion := c.At == seat.RegionLeads || c.At == seat.RegionDecides ||
			c.At == seat.RegionShows || c.At == seat.RegionStale
		if ofRegion && !errors.Is(ask(c), wire.NotReady) {
			t.Errorf("%s: got %v, want not ready", m.Call().Name, ask(c))
		}
	}
}

// TestAskers holds what is true of who may ask what.
func TestAskers(t *testing.T) {
	n := made(t)
	logged := map[reflect.Type]bool{}
	for _, kind := range wire.CommandKinds() {
		logged[reflect.TypeOf(kind.Request)] = true
	}
	for m, c := range n.seat.Table {
		name, by := m.Call().Name, func(r link.Role) bool { return slices.Contains(c.By.Roles, r) }
		changes := !m.ReadOnly()
		if by(link.RoleOperator) != (c.By.Regions != nil) {
			t.Errorf("%s: operators need no right, or a right is for nobody", name)
		}
		if by(link.RoleJoiner) && m != wire.MethodEnrol {
			t.Errorf("%s is answered to who only joins", name)
		}
		if two := c.Hurts != nil; by(link.RoleOperator) && changes && two == (c.Alone != "") ||
			two && !by(link.RoleOperator) || !changes && (two || c.Alone != "") {
			t.Errorf("%s: for two operators %t, for one because %q", name, two, c.Alone)
		}
		if approves := m == wire.MethodApprove || m == wire.MethodWithdraw; changes && !approves &&
			by(link.RoleOperator) && c.By.Right == link.RightObserver {
			t.Errorf("%s changes something, and an observer may ask for it", name)
		}
		if c.Hurts != nil && (by(link.RoleGateway) || m.Call().Group != wire.OfFederation) {
			t.Errorf("%s can hurt a region and is not the federation's to log", name)
		}
		if c.Hurts != nil && !logged[reflect.TypeOf(c.Request)] {
			t.Errorf("%s waits in the log, and its request is of no kind of command", name)
		}
	}
}

// TestSessionsAreLookedAt: what is asked for under a session that is not this region's is not to lie
// in its log.
func TestSessionsAreLookedAt(t *testing.T) {
	others := []wire.Method{wire.MethodLogout, // of a session that has ended is done
		wire.MethodMove, wire.MethodAbortMove, // look themselves: an operator's have none
		wire.MethodUnlockAccess} // looks itself: whom a provider named has none
	n := made(t)
	looked := 0
	for m, c := range n.seat.Table {
		if m.ReadOnly() || c.Request == nil || slices.Contains(others, m) {
			continue
		}
		f, ok := reflect.TypeOf(c.Request).Elem().FieldByName("Token")
		if under := ok && f.Type == reflect.TypeFor[wire.TokenHash](); under != c.Session {
			t.Errorf("%s: under a session %t, which is looked at %t", m.Call().Name, under, c.Session)
		} else if under {
			looked++
		}
	}
	if looked == 0 {
		t.Error("no change is made under a session: the test is wrong")
	}
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
		DirectoryKey: wire.DirectoryKey{1}, PacketConn: conn, Authorities: authority.Authorities,
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
