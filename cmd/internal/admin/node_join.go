package admin

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/node"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// signerFlags name the authority that signs nodes' certificates.
type signerFlags struct {
	memberFlags
	caCert, caKey string
	days          int
}

func (f *signerFlags) register(cmd *cobra.Command) {
	f.memberFlags.register(cmd, true, 0)
	flags := cmd.Flags()
	flags.StringVar(&f.caCert, "ca-cert", "", "file with the authority's certificate (PEM); "+
		"with --dir the local federation's")
	flags.StringVar(&f.caKey, "ca-key", "", "file with the authority's key (PEM, PKCS #8)")
	flags.IntVar(&f.days, "days", certDaysDefault, fmt.Sprintf("days that the node's certificate is "+
		"valid, 1-%d", int(ca.LifeMax/day)))
	cmd.MarkFlagsRequiredTogether("ca-cert", "ca-key")
	cmd.MarkFlagsOneRequired("ca-cert", "dir")
}

func (f *signerFlags) authority() (*ca.CA, error) {
	if f.dir != "" && f.caCert == "" && f.caKey == "" {
		f.caCert = filepath.Join(f.dir, "pki", "ca.crt")
		f.caKey = filepath.Join(f.dir, "pki", "ca.key")
	}
	return (&issuerFlags{caCert: f.caCert, caKey: f.caKey, days: f.days}).authority()
}

// authorities are all that a node that joins is to believe, PEM: the operator's own file, and what
// the map names.
func (f *signerFlags) authorities(m *wire.Map) (string, error) {
	file := f.ca
	if f.dir != "" {
		file = filepath.Join(f.dir, "pki", "ca.crt")
	}
	b, err := ca.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("authorities: %w", err)
	}
	for _, der := range m.Trust.Roots {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return string(b), nil
}

// believed refuses an authority that is none of those, PEM: whoever had a certificate from it would
// be refused by everybody.
func believed(authority *ca.CA, authorities string) error {
	own := authority.Roots()[0]
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

func (j joined) text(out io.Writer) error {
	var b bytes.Buffer
	if j.DryRun {
		fmt.Fprintln(&b, "nothing done:")
	}
	if j.Token != "" {
		fmt.Fprintf(&b, "token of %s in %s, good until %s: start the node with it,\n  staffetta node "+
			"--join %s --dir DIR --listen ADDR\n", j.Node, j.Token, j.Expires,
			filepath.Base(j.Token))
	}
	switch {
	case j.Signed:
		fmt.Fprintf(&b, "%s has its certificate, and is on the map\n", j.Node)
	case !j.DryRun:
		fmt.Fprintf(&b, "%s is to be signed when it has asked: staffetta admin node sign %s "+
			"--ca-cert FILE --ca-key FILE\n", j.Node, j.Node)
	}
	if j.Votes {
		fmt.Fprintf(&b, "%s votes in its region's group\n", j.Node)
	}
	if j.Removed != "" {
		fmt.Fprintf(&b, "%s has left\n", j.Removed)
	}
	_, err := out.Write(b.Bytes())
	return err
}

// tokenFlags are those of the commands that make a token.
type tokenFlags struct {
	signerFlags
	addr, out string
	expires   time.Duration
}

func (f *tokenFlags) register(cmd *cobra.Command) {
	f.signerFlags.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.addr, "addr", "", "where the node is to be reached, host:port, UDP")
	flags.StringVar(&f.out, "out", "", "file to write the token to: whoever has it can join as the "+
		"node, once")
	flags.DurationVar(&f.expires, "expires", wire.TokenDefault,
		"how long the token is good, at most 168h")
}

func newNodeTokenCommand() *cobra.Command {
	var (
		f      tokenFlags
		region string
	)
	cmd := &cobra.Command{
		Use:   "token NODE --region REGION --addr HOST:PORT --out FILE",
		Short: "Make a join token for a new node, and with --wait sign its certificate",
		Long: `Make a join token for a new node. The node that is started with it makes
its key and asks for its certificate; with --wait this command signs the request as soon as it is
there, else 'admin node sign' does. The token is good for one node, once, until it expires. The
same command again goes on with the token in the file.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, func(ctx context.Context, op *operator.Client) error {
				r, err := f.admit(ctx, cmd.ErrOrStderr(), op, wire.NodeID(args[0]),
					wire.RegionID(region))
				if err != nil {
					return err
				}
				return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, r, r.text)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&region, "region", "", "its region")
	cmd.Flags().DurationVar(&f.wait, "wait", 0,
		"how long to wait for the node's request, to sign it; 0: not at all")
	for _, name := range []string{"region", "addr", "out"} {
		cmd.MarkFlagRequired(name)
	}
	return cmd
}

// admit makes the token and, when it may wait, signs.
func (f *tokenFlags) admit(ctx context.Context, progress io.Writer, op *operator.Client,
	id wire.NodeID, region wire.RegionID) (joined, error) {
	r := joined{Node: id, Region: region, Token: f.out, DryRun: f.dryRun}
	authority, err := f.authority()
	if err != nil {
		return r, err
	}
	m, err := op.Map(ctx)
	if err != nil {
		return r, err
	}
	if n, there := m.Node(id); there {
		if n.Region != region {
			return r, fmt.Errorf("node %s is on the map, in region %s", id, n.Region)
		}
		r.Token, r.Signed = "", true
		return r, nil
	}
	t, err := f.token(m, authority, id, region)
	if err != nil {
		return r, err
	}
	r.Expires = t.Expires.Format(time.RFC3339)
	if f.dryRun {
		ctx = operator.Rehearse(ctx)
	}
	if err := op.PutToken(ctx, t.Known()); err != nil {
		return r, fmt.Errorf("token of %s: %w", id, err)
	}
	if f.wait == 0 || f.dryRun {
		return r, nil
	}
	fmt.Fprintf(progress, "token written to %s; waiting for %s\n", f.out, id)
	r.Signed = true
	return r, awaitSigned(ctx, progress, op, authority, t.Known().Hash, id,
		time.Duration(f.days)*day)
}

// awaitSigned signs a token's request as soon as it is there.
func awaitSigned(ctx context.Context, progress io.Writer, op *operator.Client, authority *ca.CA,
	hash [32]byte, id wire.NodeID, validity time.Duration) error {
	return await(ctx, progress, func(ctx context.Context) (string, bool, error) {
		signed, err := op.Sign(ctx, authority, hash, validity)
		if signed {
			return fmt.Sprintf("%s is signed", id), true, err
		}
		return fmt.Sprintf("%s has not asked yet", id), false, err
	})
}

// token makes a token and writes it, or reads the one that is there for the same node.
func (f *tokenFlags) token(m *wire.Map, authority *ca.CA, id wire.NodeID, region wire.RegionID) (
	*node.Token, error) {
	if f.expires <= 0 || f.expires > wire.TokenAgeMax {
		return nil, fmt.Errorf("--expires %s is not in (0, %s]", f.expires, wire.TokenAgeMax)
	}
	t, err := node.ReadToken(f.out)
	switch {
	case err == nil && t.Node == id && t.Region == region && t.Addr == f.addr &&
		t.Federation == m.Federation && time.Now().Before(t.Expires):
		return t, nil
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("--out: %s is there, and is no token of %s at %s that is good", f.out,
			id, f.addr)
	}
	if err := link.CheckAddr(f.addr); err != nil {
		return nil, fmt.Errorf("--addr: %w", err)
	}
	t = node.NewToken(m.Federation, region, id, f.addr, time.Now().Add(f.expires))
	cert, key, err := authority.Issue(t.Identity().URI(), t.CertificateAge())
	if err != nil {
		return nil, err
	}
	t.Certificate, t.Key = string(cert), string(key)
	if t.Authorities, err = f.authorities(m); err != nil {
		return nil, err
	}
	if err := believed(authority, t.Authorities); err != nil {
		return nil, err
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
	if f.dryRun {
		return t, nil
	}
	return t, os.WriteFile(f.out, t.JSON(), 0o600)
}

// tokenNodes is how many nodes a token names, to ask.
const tokenNodes = 12

func newNodeSignCommand() *cobra.Command {
	var f signerFlags
	cmd := &cobra.Command{
		Use:   "sign NODE",
		Short: "Sign the certificate that a node with a join token has asked for",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, func(ctx context.Context, op *operator.Client) error {
				authority, err := f.authority()
				if err != nil {
					return err
				}
				m, err := op.Map(ctx)
				if err != nil {
					return err
				}
				known, err := f.authorities(m)
				if err != nil {
					return err
				}
				if err := believed(authority, known); err != nil {
					return err
				}
				k, err := findToken(ctx, op, wire.NodeID(args[0]))
				if err != nil {
					return err
				}
				r := joined{Node: k.Node, Region: k.Region, DryRun: f.dryRun,
					Signed: len(k.Certificate) > 0}
				if f.dryRun {
					_, err := op.Sign(operator.Rehearse(ctx), authority, k.Hash, 0)
					if err != nil {
						return fmt.Errorf("node sign %s: %w", k.Node, err)
					}
				}
				if !f.dryRun && !r.Signed {
					err := awaitSigned(ctx, cmd.ErrOrStderr(), op, authority, k.Hash, k.Node,
						time.Duration(f.days)*day)
					if err != nil {
						return err
					}
					r.Signed = true
				}
				return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, r, r.text)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().DurationVar(&f.wait, "wait", 0, "how long to wait for the node's request, "+
		"besides half a minute")
	return cmd
}

// findToken finds the last token of a node.
func findToken(ctx context.Context, op *operator.Client, id wire.NodeID) (*wire.JoinToken, error) {
	tokens, err := op.Tokens(ctx)
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
	cmd := &cobra.Command{
		Use:   "replace OLD NEW --addr HOST:PORT --out FILE",
		Short: "Let a new node take an old one's place: token, signature, vote, removal",
		Long: `Let a new node take the place of an old one in its region, whether that
still runs or not. The command makes a join token, waits for the new node and signs its
certificate, waits until it votes, and removes the old one. Interrupted, the same command goes on
where it was.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, func(ctx context.Context, op *operator.Client) error {
				r, err := f.replace(ctx, cmd.ErrOrStderr(), op, wire.NodeID(args[0]),
					wire.NodeID(args[1]))
				if err != nil {
					return err
				}
				return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, r, r.text)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().DurationVar(&f.wait, "wait", time.Hour, "how long to wait, altogether")
	return cmd
}

func (f *tokenFlags) replace(ctx context.Context, progress io.Writer, op *operator.Client,
	old, id wire.NodeID) (r joined, err error) {
	m, err := op.Map(ctx)
	if err != nil {
		return r, err
	}
	was, there := m.Node(old)
	n, came := m.Node(id)
	if err := f.mayReplace(ctx, op, old, id, there && came); err != nil {
		return r, fmt.Errorf("node replace %s %s: %w", old, id, err)
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
	if r, err = f.admit(ctx, progress, op, id, was.Region); err != nil {
		return r, err
	}
	r.Removed = old
	if f.dryRun {
		return r, nil
	}
	if err := awaitVote(ctx, progress, op, id, true); err != nil {
		return r, err
	}
	r.Votes = true
	leaves := &wire.MemberChange{RemoveNode: &wire.NodeRemoval{ID: old}, Successor: id}
	if _, err = op.ChangeMembers(ctx, leaves); err != nil {
		return r, fmt.Errorf("node remove %s: %w", old, err)
	}
	tellOfCertificate(progress, m, leaves)
	return r, awaitLeft(ctx, progress, op, old)
}

// mayReplace refuses before anything is made what would be refused in the end. Who is on the map
// already is the node that this command has let in, before it was interrupted, when the token of
// --out is that node's; any other one has a place of its own.
func (f *tokenFlags) mayReplace(ctx context.Context, op *operator.Client, old, id wire.NodeID,
	both bool) error {
	c := &wire.MemberChange{RemoveNode: &wire.NodeRemoval{ID: old}, Successor: id, DryRun: true}
	if err := c.Validate(); err != nil {
		return err
	}
	if both {
		if t, err := node.ReadToken(f.out); err != nil || t.Node != id {
			return wire.Errorf(wire.Conflict, "node %s is on the map already, and --out is not the "+
				"token that it joined with", id)
		}
	}
	_, err := op.ChangeMembers(ctx, c)
	return err
}
