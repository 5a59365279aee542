package admin

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/node/membership"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// signerFlags name the authority that signs members' certificates.
type signerFlags struct {
	who *operatorFlags
	issuerFlags
}

func (f *signerFlags) register(s *flagSet) {
	f.who = s.who
	f.registerAuthority(s, "; with --dir the local federation's",
		fmt.Sprintf("days that the node's certificate is valid, 1-%d", daysMax))
	s.cmd.MarkFlagsRequiredTogether("ca-cert", "ca-key")
	s.cmd.MarkFlagsOneRequired("ca-cert", "dir")
}

func (f *signerFlags) authority() (*ca.CA, error) {
	if f.who.dir != "" && f.caCert == "" && f.caKey == "" {
		f.caCert = filepath.Join(f.who.dir, "pki", "ca.crt")
		f.caKey = filepath.Join(f.who.dir, "pki", "ca.key")
	}
	return f.issuerFlags.authority()
}

// believedWith are all the authorities that a node which joins is to believe, PEM: the operator's
// own file, and what the map names. An authority that is none of them is refused.
func (f *signerFlags) believedWith(m *wire.Map, authority *ca.CA) (string, error) {
	file := f.who.ca
	if f.who.dir != "" {
		file = filepath.Join(f.who.dir, "pki", "ca.crt")
	}
	b, err := ca.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("authorities: %w", err)
	}
	for _, der := range m.Trust.Authorities {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return string(b), believed(authority, string(b))
}

// believed refuses an authority that is none of those, PEM: whoever had a certificate from it would
// be refused by everybody.
func believed(authority *ca.CA, authorities string) error {
	own := authority.Authorities()[0]
	for block, rest := pem.Decode([]byte(authorities)); block != nil; block, rest = pem.Decode(rest) {
		if bytes.Equal(block.Bytes, own.Raw) {
			return nil
		}
	}
	return fmt.Errorf("--ca-cert: nobody believes this authority, %s, yet: 'admin ca add' first",
		wire.FingerprintOf(own.Raw).String()[:printed])
}

// joined is what the commands say that let a node in.
type joined struct {
	Node    wire.NodeID   `json:"node"`
	Region  wire.RegionID `json:"region"`
	Token   string        `json:"token,omitempty"` // the file
	Expires string        `json:"expires,omitempty"`
	Signed  bool          `json:"signed"`
	Votes   bool          `json:"votes,omitempty"`
	Removed wire.NodeID   `json:"removed,omitempty"`
	DryRun  bool          `json:"dry_run,omitempty"`
}

func (j joined) text(p *page) {
	if j.DryRun {
		p.printf("nothing done:\n")
	}
	if j.Token != "" {
		p.printf("token of %s in %s, good until %s: start the node with it,\n  staffetta node "+
			"--join %s --dir DIR --listen ADDR\n", j.Node, j.Token, j.Expires, filepath.Base(j.Token))
	}
	switch {
	case j.Signed:
		p.printf("%s has its certificate, and is on the map\n", j.Node)
	case !j.DryRun:
		p.printf("%s is to be signed when it has asked: staffetta admin node sign %s "+
			"--ca-cert FILE --ca-key FILE\n", j.Node, j.Node)
	}
	if j.Votes {
		p.printf("%s votes in its region's group\n", j.Node)
	}
	if j.Removed != "" {
		p.printf("%s has left\n", j.Removed)
	}
}

// tokenFlags are those of the commands that make a token.
type tokenFlags struct {
	signerFlags
	addr, out     string
	expires, wait time.Duration
}

func (f *tokenFlags) register(s *flagSet) {
	f.signerFlags.register(s)
	s.StringVar(&f.addr, "addr", "", "where the node is to be reached, host:port, UDP")
	s.StringVar(&f.out, "out", "", "file to write the token to: whoever has it can join as the "+
		"node, once")
	s.DurationVar(&f.expires, "expires", wire.TokenDefault,
		"how long the token is good, at most 168h")
}

func newNodeTokenCommand() *cobra.Command {
	var (
		f      tokenFlags
		region string
	)
	return command{
		use:   "token NODE --region REGION --addr HOST:PORT --out FILE",
		short: "Create a join token for a new node, and with --wait sign its certificate",
		long: `Make a join token for a new node. The node that is started with it makes
its key and asks for its certificate; with --wait this command signs the request as soon as it is
there, else 'admin node sign' does. The token is good for one node, once, until it expires. The
same command again goes on with the token in the file.`,
		args: cobra.ExactArgs(1),
		dry:  dryChange,
		flags: func(s *flagSet) {
			f.register(s)
			s.need(&region, "region", "its region")
			s.DurationVar(&f.wait, "wait", 0,
				"how long to wait for the node's request, to sign it; 0: not at all")
			s.required("addr", "out")
		},
		bound: func() time.Duration { return adminWait + f.wait },
		ask: func(c *invocation) (report, error) {
			return f.admit(c, wire.NodeID(c.args[0]), wire.RegionID(region))
		},
	}.build()
}

// admit makes the token and, when it may wait, signs.
func (f *tokenFlags) admit(c *invocation, id wire.NodeID, region wire.RegionID) (joined, error) {
	r := joined{Node: id, Region: region, Token: f.out, DryRun: c.dry}
	authority, err := f.authority()
	if err != nil {
		return r, err
	}
	m, err := c.op.Map(c.ctx)
	if err != nil {
		return r, err
	}
	if n, there := m.Node(id); there {
		if n.Region != region || n.Addr != f.addr {
			return r, fmt.Errorf("node %s is on the map, in region %s at %s", id, n.Region, n.Addr)
		}
		r.Token, r.Signed = "", true
		return r, nil
	}
	t, made, err := f.token(m, authority, id, region)
	if err != nil {
		return r, err
	}
	r.Expires = t.Expires.Format(time.RFC3339)
	if made && !c.dry { // what is refused leaves no secret behind
		if err := c.op.PutToken(operator.Rehearse(c.ctx), t.Known()); err != nil {
			return r, err
		}
		if err := os.WriteFile(f.out, t.JSON(), 0o600); err != nil {
			return r, fmt.Errorf("--out: %w", err)
		}
	}
	if err := c.op.PutToken(c.ctx, t.Known()); err != nil {
		return r, err
	}
	if f.wait == 0 || c.dry {
		return r, nil
	}
	c.tell("token written to %s; waiting for %s\n", f.out, id)
	r.Signed = true
	return r, f.awaitSigned(c, authority, t.Known().Hash, id)
}

// awaitSigned signs a token's request as soon as it is there.
func (f *signerFlags) awaitSigned(c *invocation, authority *ca.CA, hash [32]byte,
	id wire.NodeID) error {
	return await(c, func() (string, bool, error) {
		signed, err := c.op.Sign(c.ctx, authority, hash, f.life())
		return fmt.Sprintf("%s %s", id, either(signed, "is signed", "has not asked yet")), signed, err
	})
}

// token makes a token, or reads the one that is there for the same node.
func (f *tokenFlags) token(m *wire.Map, authority *ca.CA, id wire.NodeID,
	region wire.RegionID) (_ *membership.Token, made bool, err error) {
	if f.expires <= 0 || f.expires > wire.TokenAgeMax {
		return nil, false, fmt.Errorf("--expires %s is not in (0, %s]", f.expires, wire.TokenAgeMax)
	}
	t, err := membership.ReadToken(f.out)
	switch {
	case err == nil && t.Node == id && t.Region == region && t.Addr == f.addr &&
		t.Federation == m.Federation && time.Now().Before(t.Expires):
		return t, false, nil
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return nil, false, fmt.Errorf("--out: %s is there, and is no token of %s at %s that is good",
			f.out, id, f.addr)
	}
	if err := link.CheckAddr(f.addr); err != nil {
		return nil, false, fmt.Errorf("--addr: %w", err)
	}
	t = membership.NewToken(m.Federation, region, id, f.addr, time.Now().Add(f.expires))
	cert, key, err := authority.Issue(t.Identity().URI(), t.CertificateAge())
	if err != nil {
		return nil, false, err
	}
	t.Certificate, t.Key = string(cert), string(key)
	if t.Authorities, err = f.believedWith(m, authority); err != nil {
		return nil, false, err
	}
	// Those of its own region first, then a few of the others.
	nodes := slices.Clone(m.Nodes)
	slices.SortStableFunc(nodes, func(a, b wire.Node) int {
		switch {
		case a.Region == region && b.Region != region:
			return -1
		case a.Region != region && b.Region == region:
			return 1
		}
		return 0
	})
	for _, n := range nodes[:min(len(nodes), tokenNodes)] {
		t.Nodes = append(t.Nodes, n.Addr)
	}
	return t, true, nil
}

// tokenNodes is how many nodes a token names, to ask.
const tokenNodes = 12

func newNodeSignCommand() *cobra.Command {
	var (
		f    signerFlags
		wait time.Duration
	)
	return command{
		use:   "sign NODE",
		short: "Sign the certificate that a node with a join token has asked for",
		args:  cobra.ExactArgs(1),
		dry:   dryChange,
		flags: func(s *flagSet) {
			f.register(s)
			s.DurationVar(&wait, "wait", 0, "how long to wait for the node's request, "+
				"besides half a minute")
		},
		bound: func() time.Duration { return adminWait + wait },
		ask:   func(c *invocation) (report, error) { return f.signNode(c, wire.NodeID(c.args[0])) },
	}.build()
}

func (f *signerFlags) signNode(c *invocation, id wire.NodeID) (report, error) {
	authority, err := f.authority()
	if err != nil {
		return nil, err
	}
	m, err := c.op.Map(c.ctx)
	if err != nil {
		return nil, err
	}
	if _, err := f.believedWith(m, authority); err != nil {
		return nil, err
	}
	k, err := findToken(c, id)
	if err != nil {
		return nil, err
	}
	r := joined{Node: k.Node, Region: k.Region, DryRun: c.dry, Signed: len(k.Certificate) > 0}
	switch {
	case c.dry:
		_, err = c.op.Sign(c.ctx, authority, k.Hash, 0)
	case !r.Signed:
		err, r.Signed = f.awaitSigned(c, authority, k.Hash, k.Node), true
	}
	return r, err
}

// findToken finds the last token of a node.
func findToken(c *invocation, id wire.NodeID) (*wire.JoinToken, error) {
	tokens, err := c.op.Tokens(c.ctx)
	if err != nil {
		return nil, err
	}
	for i := range tokens { // those of later times first
		if tokens[i].Node == id {
			return &tokens[i], nil
		}
	}
	return nil, fmt.Errorf("the federation knows no token of node %s: make one with 'admin node "+
		"token'", id)
}

func newNodeReplaceCommand() *cobra.Command {
	var f tokenFlags
	return command{
		use:   "replace OLD NEW --addr HOST:PORT --out FILE",
		short: "Replace a node by a new one: token, signature, vote, removal",
		long: `Let a new node take the place of an old one in its region, whether that
still runs or not. The command makes a join token, waits for the new node and signs its
certificate, waits until it votes, and removes the old one. Interrupted, the same command goes on
where it was.`,
		args: cobra.ExactArgs(2),
		dry:  dryChange,
		flags: func(s *flagSet) {
			f.register(s)
			s.DurationVar(&f.wait, "wait", time.Hour, "how long to wait in total")
		},
		bound: func() time.Duration { return adminWait + f.wait },
		ask: func(c *invocation) (report, error) {
			return f.replace(c, wire.NodeID(c.args[0]), wire.NodeID(c.args[1]))
		},
	}.build()
}

func (f *tokenFlags) replace(c *invocation, old, id wire.NodeID) (r joined, err error) {
	m, err := c.op.Map(c.ctx)
	if err != nil {
		return r, err
	}
	was, there := m.Node(old)
	n, came := m.Node(id)
	if err := f.checkReplaced(c, old, id, there && came); err != nil {
		return r, err
	}
	if !there && came { // done already
		return joined{Node: id, Region: n.Region, Signed: true, Votes: true, Removed: old}, nil
	}
	if !there {
		return r, fmt.Errorf("no node %s on the map", old)
	}
	if f.wait <= 0 {
		return r, errors.New("--wait is to be positive: every step waits for the one before")
	}
	if !came && (f.addr == "" || f.out == "") {
		return r, fmt.Errorf("give --addr and --out, for the token of %s", id)
	}
	if r, err = f.admit(c, id, was.Region); err != nil {
		return r, err
	}
	r.Removed = old
	if c.dry {
		return r, nil
	}
	if err := awaitVote(c, id, true); err != nil {
		return r, err
	}
	r.Votes = true
	leaves := &wire.MemberChange{RemoveNode: &wire.NodeRemoval{ID: old}, Successor: id}
	if _, err = c.op.ChangeMembers(c.ctx, leaves); err != nil {
		return r, fmt.Errorf("node remove %s: %w", old, err)
	}
	tellOfCertificate(c, m, leaves)
	return r, awaitLeft(c, old)
}

// checkReplaced refuses before anything is made what would be refused in the end. Who is on the map
// already is the node that this command has let in, before it was interrupted, when the token of
// --out is that node's; any other one has a place of its own.
func (f *tokenFlags) checkReplaced(c *invocation, old, id wire.NodeID, both bool) error {
	change := &wire.MemberChange{RemoveNode: &wire.NodeRemoval{ID: old}, Successor: id, DryRun: true}
	if err := change.Validate(); err != nil {
		return err
	}
	if both {
		if t, err := membership.ReadToken(f.out); err != nil || t.Node != id {
			return wire.Errorf(wire.Conflict, "node %s is on the map already, and --out is not the "+
				"token that it joined with", id)
		}
	}
	_, err := c.op.ChangeMembers(c.ctx, change)
	return err
}
