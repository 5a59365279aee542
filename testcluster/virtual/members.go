package virtual

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/node/membership"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// Operator is an operator's client, the product's own. It ends with the test; it is another one
// after nodes came or went.
func (w *World) Operator() *operator.Client {
	w.t.Helper()
	var nodes []string
	for _, n := range w.nodes {
		nodes = append(nodes, n.addr.String())
	}
	if w.operator != nil && slices.Equal(w.operatorAsks, nodes) {
		return w.operator
	}
	w.operator, w.operatorAsks = w.OperatorOf(w.ca, "operator", link.AllGrants()), nodes
	return w.operator
}

// OperatorOf is the client of an operator with a certificate of an authority, which ends with the
// test.
func (w *World) OperatorOf(by *ca.CA, name string, grants link.Grants) *operator.Client {
	w.t.Helper()
	var nodes []string
	for _, n := range w.nodes {
		nodes = append(nodes, n.addr.String())
	}
	w.operators++
	h := w.net.plug(&net.UDPAddr{IP: net.IPv4(10, 0, 3, byte(w.operators)).To4(), Port: 7400})
	dir := w.t.TempDir()
	id := link.Identity{Federation: federationName, Role: link.RoleOperator, Name: name}
	certPEM, keyPEM, err := by.Issue(id.URI(), certificateAge, grants.Units()...)
	if err != nil {
		w.t.Fatal(err)
	}
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			w.t.Fatal(err)
		}
		return path
	}
	credentials, err := link.LoadCertificate(file("crt", certPEM), file("key", keyPEM),
		file("ca", append(by.CertPEM(), w.ca.CertPEM()...)), federationName)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := operator.New(operator.Config{Credentials: credentials, Nodes: nodes,
		PacketConn: h.conn, Logger: w.logger})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		c.Close()
		h.unplug()
	})
	return c
}

// Change changes the members of the federation.
func (w *World) Change(c *wire.MemberChange) (*wire.Map, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return w.Operator().ChangeMembers(ctx, c)
}

// MustChange is Change for what must not be refused.
func (w *World) MustChange(c *wire.MemberChange) {
	w.t.Helper()
	if _, err := w.Change(c); err != nil {
		w.t.Fatalf("%s %s: %v", c.Action(), c.AuditSubject(), err)
	}
}

// Token makes a join token for a node of a region, without making it known.
func (w *World) Token(region wire.RegionID, id wire.NodeID, age time.Duration) *membership.Token {
	w.t.Helper()
	w.addressed++
	addr := &net.UDPAddr{IP: net.IPv4(10, 0, 4, byte(w.addressed)).To4(), Port: 7400}
	t := membership.NewToken(federationName, region, id, addr.String(), time.Now().Add(age))
	cert, key, err := w.ca.Issue(t.Identity().URI(), t.CertificateAge())
	if err != nil {
		w.t.Fatal(err)
	}
	t.Authorities, t.Certificate, t.Key = string(w.ca.CertPEM()), string(cert), string(key)
	for _, n := range w.nodes {
		if n.Running() {
			t.Nodes = append(t.Nodes, n.addr.String())
		}
	}
	return t
}

// Machine is the place of a node that is to join with a token.
func (w *World) Machine(t *membership.Token) *Node {
	w.t.Helper()
	addr, err := net.ResolveUDPAddr("udp", t.Addr)
	if err != nil {
		w.t.Fatal(err)
	}
	addr.IP = addr.IP.To4()
	return &Node{w: w, ID: t.Node, Region: t.Region, addr: addr, dir: w.t.TempDir(),
		fs: vfs.NewCrashableMem(), stores: map[string]*consensus.Stores{}}
}

// Enrol joins a machine with a token until ctx ends, or it is done.
func (n *Node) Enrol(ctx context.Context, t *membership.Token, seedRate uint64) error {
	h := n.w.net.plug(n.addr)
	defer h.unplug()
	joined, err := membership.Join(ctx, membership.JoinConfig{Dir: n.dir, Token: t, PacketConn: h.conn,
		SeedRate: seedRate, FS: n.fs, Logger: n.w.logger})
	if err != nil {
		return err
	}
	credentials, err := link.LoadCertificate(joined.CertFile, joined.KeyFile, joined.CAFile,
		federationName)
	if err != nil {
		return err
	}
	n.joined, n.cert = joined, credentials.Certificate
	return nil
}

// Join adds a node to a region, by everything that an operator does for it, and starts it. It
// begins to vote some time later; see AwaitVoters.
func (w *World) Join(region wire.RegionID, id wire.NodeID) *Node {
	w.t.Helper()
	t := w.Token(region, id, time.Hour)
	n := w.Machine(t)
	o := w.Operator()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := o.PutToken(ctx, t.Known()); err != nil {
		w.t.Fatalf("token of %s: %v", id, err)
	}
	done := make(chan error, 1)
	go func() { done <- n.Enrol(ctx, t, 0) }()
	for {
		signed, err := o.Sign(ctx, w.ca, t.Known().Hash, certificateAge)
		if err != nil && !wire.Retriable(err) {
			w.t.Fatalf("sign %s: %v", id, err)
		}
		if signed {
			break
		}
		time.Sleep(time.Second)
	}
	if err := <-done; err != nil {
		w.t.Fatalf("%s does not join: %v", id, err)
	}
	w.nodes = append(w.nodes, n)
	n.Start()
	return n
}

// AwaitVoters waits until exactly these nodes vote in a group, and nobody else is in it.
func (w *World) AwaitVoters(group string, want ...wire.NodeID) {
	w.t.Helper()
	slices.Sort(want)
	var got []wire.NodeID
	for end := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		if got = w.Voters(group); slices.Equal(got, want) {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("in %s vote %v, want %v", group, got, want)
		}
	}
}

// Voters are those of a group as its leader knows them, in order; nil without a leader.
func (w *World) Voters(group string) (voters []wire.NodeID) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	g, err := w.Operator().Members(ctx, group)
	if err != nil {
		return nil
	}
	for _, m := range g.List {
		if m.Voter {
			voters = append(voters, m.Node)
		}
	}
	slices.Sort(voters)
	return voters
}

// AwaitRemoved waits until a node that was removed has ended by itself, and forgets it.
func (w *World) AwaitRemoved(n *Node) {
	w.t.Helper()
	select {
	case err := <-n.done:
		if !errors.Is(err, consensus.ErrRemoved) {
			w.t.Errorf("%s ended with %v, want %v", n.ID, err, consensus.ErrRemoved)
		}
	case <-time.After(patience):
		w.t.Fatalf("%s was removed and goes on", n.ID)
	}
	n.stop()
	n.host.unplug()
	n.Node = nil
	w.Forget(n)
}

// Forget takes a node out of the world; it does not run.
func (w *World) Forget(n *Node) {
	w.nodes = slices.DeleteFunc(w.nodes, func(o *Node) bool { return o == n })
}
