package admin

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// fingerprintMin is how many digits of a fingerprint an operator must give, and printed how many
// a table shows: nobody makes two authorities by accident that agree in so many.
const (
	fingerprintMin = 8
	printed        = 16
)

func newCACommand() *cobra.Command {
	return group("ca",
		"Show, add and remove the authorities whose certificates the federation believes",
		newCAListCommand(), newCAAddCommand(), newCARemoveCommand(), newCAForgetCommand(),
		newCACreateCommand())
}

// authority is a line of `ca list`.
type authority struct {
	Fingerprint string `json:"fingerprint"`
	Subject     string `json:"subject"`
	Expires     string `json:"expires"`
	// Federation says that it is on the federation's list, InFilesOf which nodes name it in their
	// own files.
	Federation bool            `json:"federation"`
	Regions    []wire.RegionID `json:"regions,omitempty"` // that it may speak for; none: all
	InFilesOf  []wire.NodeID   `json:"in_files_of"`
	// NeededBy are the running members whose certificates come from it alone.
	NeededBy []string `json:"needed_by"`
}

// caReport is what `ca list` says.
type caReport struct {
	Authorities []authority       `json:"authorities"`
	Revoked     []revokedIdentity `json:"revoked"`
	// Silent are the nodes that were asked in vain.
	Silent []wire.NodeID `json:"silent"`
	nodes  int
}

// revokedIdentity is an identity whose earlier certificates are worthless.
type revokedIdentity struct {
	Identity string `json:"identity"`
	Before   string `json:"certificates_valid_from_or_before"`
}

func reportCA(m *wire.Map, ws operator.Witnesses) caReport {
	r := caReport{Authorities: []authority{}, Revoked: []revokedIdentity{}, Silent: ws.Silent(),
		nodes: len(ws)}
	add := func(der []byte, federation bool) {
		f := wire.FingerprintOf(der)
		if slices.ContainsFunc(r.Authorities, func(a authority) bool {
			return a.Fingerprint == f.String()
		}) {
			return
		}
		a := authority{Fingerprint: f.String(), Subject: "cannot be read", Federation: federation,
			InFilesOf: ws.InFiles(f), NeededBy: ws.NeededBy(f)}
		for _, b := range m.Trust.Bounds {
			if b.Root == f {
				a.Regions = b.Regions
			}
		}
		if cert, err := x509.ParseCertificate(der); err == nil {
			a.Subject, a.Expires = cert.Subject.String(), cert.NotAfter.UTC().Format(time.RFC3339)
		}
		r.Authorities = append(r.Authorities, a)
	}
	for _, der := range m.Trust.Authorities {
		add(der, true)
	}
	for _, w := range ws {
		if w.Identities != nil {
			for _, der := range w.Identities.FileAuthorities {
				add(der, false)
			}
		}
	}
	for _, rev := range m.Trust.Revoked {
		r.Revoked = append(r.Revoked, revokedIdentity{rev.Identity, rev.Before.String()})
	}
	return r
}

func (r caReport) text(p *page) {
	p.row("fingerprint", "subject", "expires", "on the list", "speaks for", "in files of",
		"needed by")
	for _, a := range r.Authorities {
		speaks := "all"
		if len(a.Regions) > 0 {
			speaks = join(a.Regions, ", ")
		}
		p.row(a.Fingerprint[:printed], a.Subject, a.Expires, either(a.Federation, "yes", "no"), speaks,
			fmt.Sprintf("%d of %d nodes", len(a.InFilesOf), r.nodes-len(r.Silent)),
			fmt.Sprintf("%d members", len(a.NeededBy)))
	}
	for _, rev := range r.Revoked {
		p.printf("revoked: %s, certificates valid from %s or earlier\n", rev.Identity, rev.Before)
	}
	if len(r.Silent) > 0 {
		p.printf("no answer from: %s\n", join(r.Silent, ", "))
	}
}

func join[T ~string](list []T, between string) string {
	text := make([]string, len(list))
	for i, s := range list {
		text[i] = string(s)
	}
	return strings.Join(text, between)
}

func newCAListCommand() *cobra.Command {
	return command{
		use:   "list",
		short: "Show the authorities, who needs them, and the revoked identities",
		ask: func(c *invocation) (report, error) {
			m, ws, err := c.op.Witnesses(c.ctx)
			if err != nil {
				return nil, err
			}
			return reportCA(m, ws), nil
		},
	}.build()
}

func (t trustChange) text(p *page) {
	for _, s := range t.Subjects {
		verb := either(t.Done, "done", "not done")
		if t.Nothing {
			verb = "nothing to do"
		}
		p.printf("%s: %s: %s\n", verb, t.Action, s)
	}
	if t.Note != "" {
		p.printf("%s\n", t.Note)
	}
}

// trustChange is what a command did, or would do, to the federation's trust.
type trustChange struct {
	Action   string   `json:"action"`
	Subjects []string `json:"subjects"`
	// Done: false when it was only asked what would be done, or when there was nothing to do.
	Done bool `json:"done"`
	// Nothing: it was so already.
	Nothing bool `json:"nothing_to_do,omitempty"`
	// Note says what an operator should know besides.
	Note string `json:"note,omitempty"`
}

func newCAAddCommand() *cobra.Command {
	var (
		regions []string
		roots   []*x509.Certificate
	)
	return command{
		use:   "add FILE…",
		short: "Add the authorities of files (PEM) to those that the whole federation believes",
		long: `Add the authorities of files (PEM) to those that the whole federation believes,
without a restart, besides those that each process's --ca names. It is the first step of
replacing one: then every process gets a new certificate, then ` + "`ca remove`" + ` takes the old
authority away.

With --region an authority speaks for these regions only: certificates of nodes and gateways of
others are refused, and operators have the rights that it grants there and nowhere else. Adding it
again changes that.`,
		args: cobra.MinimumNArgs(1),
		dry:  dryDo,
		flags: func(f *flagSet) {
			f.StringSliceVar(&regions, "region", nil, "the only region that the authority may "+
				"speak for; may be repeated")
		},
		check: func(c *invocation) error {
			for _, file := range c.args {
				list, err := link.ReadAuthorities(file)
				if err != nil {
					return err
				}
				roots = append(roots, list...)
			}
			return nil
		},
		ask: func(c *invocation) (report, error) {
			done := trustChange{Action: "believe", Done: !c.dry}
			return &done, operator.Each(roots, func(root *x509.Certificate) error {
				done.Subjects = append(done.Subjects,
					wire.FingerprintOf(root.Raw).String()+" "+root.Subject.String())
				if err := c.op.AddAuthority(c.ctx, root.Raw, regionIDs(regions)...); err != nil {
					return fmt.Errorf("%s: %w", root.Subject, err)
				}
				return nil
			})
		},
	}.build()
}

func regionIDs(names []string) (ids []wire.RegionID) {
	for _, name := range names {
		ids = append(ids, wire.RegionID(name))
	}
	return ids
}

func newCARemoveCommand() *cobra.Command {
	var silent bool
	return command{
		use:   "remove FINGERPRINT",
		short: "Remove an authority from those that the federation believes",
		long: `Remove an authority from those that the federation believes.
Its fingerprint, or the first ` +
			fmt.Sprint(fingerprintMin) + ` digits of it,
are as ` + "`ca list`" + ` shows them. It is refused while a running member's certificate
comes from it alone, while a node's --ca file names it, and for the last one: when the command
succeeds, no node believes it. The files of gateways and operators cannot be seen from here.`,
		args: cobra.ExactArgs(1),
		dry:  dryDo,
		flags: func(f *flagSet) {
			f.BoolVar(&silent, "ignore-silent", false, "remove it although nodes do not answer, "+
				"whose certificates may come from it")
		},
		ask: func(c *invocation) (report, error) {
			m, ws, err := c.op.Witnesses(c.ctx)
			if err != nil {
				return nil, err
			}
			f, listed, err := findAuthority(m, ws, c.args[0])
			if err != nil {
				return nil, err
			}
			if err := checkRemoval(m, ws, f, silent); err != nil {
				return nil, err
			}
			if listed {
				err = c.op.RemoveAuthority(c.ctx, f)
			}
			return trustChange{Action: "believe no more", Subjects: []string{f.String()},
				Done: !c.dry}, err
		},
	}.build()
}

// checkRemoval says why an authority is believed after its removal, or must be. That is so as long
// as a process names it in a file of its own, whether it is on the federation's list or not.
func checkRemoval(m *wire.Map, ws operator.Witnesses, f wire.Fingerprint, ignoreSilent bool) error {
	if len(m.Trust.Authorities) == 1 && wire.FingerprintOf(m.Trust.Authorities[0]) == f {
		return errors.New("it is the last authority on the federation's list: add its successor " +
			"first")
	}
	if who := ws.NeededBy(f); len(who) > 0 {
		return fmt.Errorf("the certificates of %d running members come from it: renew them first: %s",
			len(who), join(who, ", "))
	}
	if nodes := ws.InFiles(f); len(nodes) > 0 {
		return fmt.Errorf("the --ca files of %d nodes name it, and so it would be believed: on each of "+
			"their machines type: staffetta admin ca forget %s --ca FILE --cert FILE; nodes: %s",
			len(nodes), f.String()[:printed], join(nodes, ", "))
	}
	if silent := ws.Silent(); len(silent) > 0 && !ignoreSilent {
		return fmt.Errorf("%d nodes do not answer, and their certificates may come from it: %s; "+
			"--ignore-silent removes it all the same", len(silent), join(silent, ", "))
	}
	return nil
}

// findAuthority finds an authority by the first digits of its fingerprint, on the federation's list
// or in the files of a node. One that nobody believes is found by all its digits only, since fewer
// may be mistyped.
func findAuthority(m *wire.Map, ws operator.Witnesses, digits string) (f wire.Fingerprint,
	listed bool, err error) {
	digits = strings.ToLower(digits)
	if len(digits) < fingerprintMin || len(digits) > len(f.String()) ||
		strings.Trim(digits, "0123456789abcdef") != "" {
		return f, false, fmt.Errorf("%q is no fingerprint: give %d to %d hexadecimal digits", digits,
			fingerprintMin, len(f.String()))
	}
	found := false
	for i, der := range slices.Concat(m.Trust.Authorities, ws.FileAuthorities()) {
		print := wire.FingerprintOf(der)
		if !strings.HasPrefix(print.String(), digits) || found && print == f {
			continue
		}
		if found {
			return f, false, fmt.Errorf("several authorities begin with %s: give more digits", digits)
		}
		f, found, listed = print, true, i < len(m.Trust.Authorities)
	}
	if whole, err := wire.ParseFingerprint(digits); !found && err == nil {
		return whole, false, nil
	}
	if !found {
		return f, false, fmt.Errorf("nobody who answers believes an authority whose fingerprint "+
			"begins with %s: `ca list` shows all", digits)
	}
	return f, listed, nil
}

func newRevokeCommand() *cobra.Command {
	var force bool
	return command{
		use:   "revoke node|gateway|operator NAME | spiffe://…",
		short: "Revoke an identity's certificates: it is disconnected at once, everywhere",
		long: `Make all certificates of an identity worthless that are valid from now or earlier. Every
process that hears of it cuts the identity's open connections, streams included, and refuses it
from then on: within a second where the federation's leader is reached, elsewhere when it is again.
A certificate that is valid from later on is good; ` + "`admin cert renew --valid-from now`" + `
makes one.

Revoking a node that its region or the federation needs for a majority is refused without --force.`,
		example: `  staffetta admin revoke gateway edge-1 --dir DIR
  staffetta admin revoke spiffe://italia/region/lazio/node/lazio-2 --dir DIR --dry-run`,
		args: cobra.RangeArgs(1, 2),
		dry:  dryDo,
		flags: func(f *flagSet) {
			f.BoolVar(&force, "force", false, "revoke a node even if a group then has no majority")
		},
		ask: func(c *invocation) (report, error) { return revoke(c, force) },
	}.build()
}

func revoke(c *invocation, force bool) (report, error) {
	m, ws, err := c.op.Witnesses(c.ctx)
	if err != nil {
		return nil, err
	}
	id, err := findIdentity(m, ws, c.args)
	if err != nil {
		return nil, err
	}
	var notes []string
	if err := ws.Quorum(id.Node()); err != nil {
		if !force {
			return nil, fmt.Errorf("%w; --force revokes %s all the same", err, id)
		}
		notes = append(notes, err.Error())
	}
	if silent := ws.Silent(); len(silent) > 0 {
		notes = append(notes, "these nodes do not answer, and cut it off when they hear: "+
			join(silent, ", "))
	}
	notes = append(notes, "a certificate made with --valid-from now is good again")
	return trustChange{Action: "revoke", Subjects: []string{id.String()}, Done: !c.dry,
		Note: strings.Join(notes, "\n")}, c.op.Revoke(c.ctx, id)
}

func findIdentity(m *wire.Map, ws operator.Witnesses, whom []string) (link.Identity, error) {
	if len(whom) == 1 {
		return link.ReadIdentity(whom[0])
	}
	roles := map[string]link.Role{"node": link.RoleNode, "gateway": link.RoleGateway,
		"operator": link.RoleOperator}
	role, ok := roles[whom[0]]
	if !ok {
		return link.Identity{}, fmt.Errorf("%q is not node, gateway or operator", whom[0])
	}
	return ws.Find(m, role, whom[1])
}
