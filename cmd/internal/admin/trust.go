package admin

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
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
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Show, add and remove the authorities whose certificates the federation believes",
	}
	cmd.AddCommand(newCAListCommand(), newCAAddCommand(), newCARemoveCommand(),
		newCAForgetCommand(), newCACreateCommand())
	return cmd
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
			InFilesOf: ws.InFiles(f), NeededBy: ws.Needs(f)}
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
	for _, der := range m.Trust.Roots {
		add(der, true)
	}
	for _, w := range ws {
		if w.Identities != nil {
			for _, der := range w.Identities.FileRoots {
				add(der, false)
			}
		}
	}
	for _, rev := range m.Trust.Revoked {
		r.Revoked = append(r.Revoked, revokedIdentity{rev.Identity, rev.Before.String()})
	}
	return r
}

func (r caReport) text(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "fingerprint\tsubject\texpires\ton the list\tspeaks for\tin files of\tneeded by")
	for _, a := range r.Authorities {
		list := "no"
		if a.Federation {
			list = "yes"
		}
		speaks := "all"
		if len(a.Regions) > 0 {
			speaks = join(a.Regions)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d of %d nodes\t%d members\n", a.Fingerprint[:printed],
			a.Subject, a.Expires, list, speaks, len(a.InFilesOf), r.nodes-len(r.Silent), len(a.NeededBy))
	}
	for _, rev := range r.Revoked {
		fmt.Fprintf(w, "revoked: %s, certificates valid from %s or earlier\n", rev.Identity,
			rev.Before)
	}
	if len(r.Silent) > 0 {
		fmt.Fprintf(w, "no answer from: %s\n", join(r.Silent))
	}
	return w.Flush()
}

func join[T ~string](list []T) string {
	text := make([]string, len(list))
	for i, s := range list {
		text[i] = string(s)
	}
	return strings.Join(text, ", ")
}

func newCAListCommand() *cobra.Command {
	var flags viewFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the authorities, who needs them, and the identities that are revoked",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				m, ws, err := op.Witnesses(ctx)
				if err != nil {
					return fmt.Errorf("ca list: %w", err)
				}
				r := reportCA(m, ws)
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, r, r.text)
			})
		},
	}
	flags.register(cmd)
	return cmd
}

// trustChange is what a command did, or would do, to the federation's trust.
type trustChange struct {
	Action   string   `json:"action"`
	Subjects []string `json:"subjects"`
	// Done: false when it was only asked what would be done, or when there was nothing to do.
	Done bool `json:"done"`
	// Note says what an operator should know besides.
	Note string `json:"note,omitempty"`
}

func (c trustChange) text(out io.Writer) error {
	verb := map[bool]string{true: "done", false: "not done"}[c.Done]
	for _, s := range c.Subjects {
		if _, err := fmt.Fprintf(out, "%s: %s: %s\n", verb, c.Action, s); err != nil {
			return err
		}
	}
	if c.Note == "" {
		return nil
	}
	_, err := fmt.Fprintln(out, c.Note)
	return err
}

// changeFlags are those of a command that changes something.
type changeFlags struct {
	viewFlags
	dryRun bool
}

func (f *changeFlags) register(cmd *cobra.Command) {
	f.viewFlags.register(cmd)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be done, and do nothing")
}

func newCAAddCommand() *cobra.Command {
	var (
		flags   changeFlags
		regions []string
	)
	cmd := &cobra.Command{
		Use:   "add FILE…",
		Short: "Make the whole federation believe the authorities of files (PEM), at once",
		Long: `Make the whole federation believe the authorities of files (PEM), at once and without a
restart, besides those that each process's --ca names. It is the first step of replacing one: then
every process gets a new certificate, then ` + "`ca remove`" + ` takes the old authority away.

With --region an authority speaks for these regions only: certificates of nodes and gateways of
others are refused, and operators have the rights that it grants there and nowhere else. Adding it
again changes that.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var roots []*x509.Certificate
			for _, file := range args {
				list, err := link.ReadAuthorities(file)
				if err != nil {
					return fmt.Errorf("ca add: %w", err)
				}
				roots = append(roots, list...)
			}
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				done := trustChange{Action: "believe", Done: !flags.dryRun}
				if flags.dryRun {
					ctx = operator.Rehearse(ctx)
				}
				err := operator.Each(roots, func(root *x509.Certificate) error {
					if err := op.AddRoot(ctx, root.Raw, regionIDs(regions)...); err != nil {
						return fmt.Errorf("ca add %s: %w", root.Subject, err)
					}
					done.Subjects = append(done.Subjects,
						wire.FingerprintOf(root.Raw).String()+" "+root.Subject.String())
					return nil
				})
				if err != nil {
					return err
				}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, done, done.text)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringSliceVar(&regions, "region", nil, "the only region that the authority may "+
		"speak for; may be repeated")
	return cmd
}

func regionIDs(names []string) (ids []wire.RegionID) {
	for _, name := range names {
		ids = append(ids, wire.RegionID(name))
	}
	return ids
}

func newCARemoveCommand() *cobra.Command {
	var (
		flags  changeFlags
		silent bool
	)
	cmd := &cobra.Command{
		Use:   "remove FINGERPRINT",
		Short: "Make the federation believe an authority no more",
		Long: `Make the federation believe an authority no more. Its fingerprint, or the first ` +
			fmt.Sprint(fingerprintMin) + ` digits of it,
are as ` + "`ca list`" + ` shows them. It is refused while a running member's certificate
comes from it alone, while a node's --ca file names it, and for the last one: when the command
succeeds, no node believes it. The files of gateways and operators cannot be seen from here.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				done, err := removeCA(ctx, op, args[0], silent, flags.dryRun)
				if err != nil {
					return fmt.Errorf("ca remove: %w", err)
				}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, done, done.text)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&silent, "ignore-silent", false, "remove it although nodes do not answer, "+
		"whose certificates may come from it")
	return cmd
}

func removeCA(ctx context.Context, op *operator.Client, digits string, ignoreSilent,
	dryRun bool) (*trustChange, error) {
	m, ws, err := op.Witnesses(ctx)
	if err != nil {
		return nil, err
	}
	f, listed, err := findRoot(m, ws, digits)
	if err != nil {
		return nil, err
	}
	if err := mayRemove(m, ws, f, ignoreSilent); err != nil {
		return nil, err
	}
	if dryRun {
		ctx = operator.Rehearse(ctx)
	}
	if listed {
		err = op.RemoveRoot(ctx, f)
	}
	return &trustChange{Action: "believe no more", Subjects: []string{f.String()},
		Done: !dryRun}, err
}

// mayRemove says why an authority is believed after its removal, or must be. That is so as long as
// a process names it in a file of its own, whether it is on the federation's list or not.
func mayRemove(m *wire.Map, ws operator.Witnesses, f wire.Fingerprint, ignoreSilent bool) error {
	if len(m.Trust.Roots) == 1 && wire.FingerprintOf(m.Trust.Roots[0]) == f {
		return errors.New("it is the last authority on the federation's list: add its successor " +
			"first")
	}
	if who := ws.Needs(f); len(who) > 0 {
		return fmt.Errorf("the certificates of %d running members come from it: renew them first: %s",
			len(who), join(who))
	}
	if nodes := ws.InFiles(f); len(nodes) > 0 {
		return fmt.Errorf("the --ca files of %d nodes name it, and so it would be believed: on each of "+
			"their machines type: staffetta admin ca forget %s --ca FILE --cert FILE; nodes: %s",
			len(nodes), f.String()[:printed], join(nodes))
	}
	if silent := ws.Silent(); len(silent) > 0 && !ignoreSilent {
		return fmt.Errorf("%d nodes do not answer, and their certificates may come from it: %s; "+
			"--ignore-silent removes it all the same", len(silent), join(silent))
	}
	return nil
}

// findRoot finds an authority by the first digits of its fingerprint, on the federation's list or
// in the files of a node. One that nobody believes is found by all its digits only, since fewer may
// be mistyped.
func findRoot(m *wire.Map, ws operator.Witnesses, digits string) (f wire.Fingerprint, listed bool,
	err error) {
	digits = strings.ToLower(digits)
	if len(digits) < fingerprintMin || len(digits) > len(f.String()) ||
		strings.Trim(digits, "0123456789abcdef") != "" {
		return f, false, fmt.Errorf("%q is no fingerprint: give %d to %d hexadecimal digits", digits,
			fingerprintMin, len(f.String()))
	}
	found := false
	for i, der := range slices.Concat(m.Trust.Roots, ws.FileRoots()) {
		print := wire.FingerprintOf(der)
		if !strings.HasPrefix(print.String(), digits) || found && print == f {
			continue
		}
		if found {
			return f, false, fmt.Errorf("several authorities begin with %s: give more digits", digits)
		}
		f, found, listed = print, true, i < len(m.Trust.Roots)
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
	var (
		flags changeFlags
		force bool
	)
	cmd := &cobra.Command{
		Use:   "revoke node|gateway|operator NAME | spiffe://…",
		Short: "Make an identity's certificates worthless: it is cut off at once, everywhere",
		Long: `Make all certificates of an identity worthless that are valid from now or earlier. Every
process that hears of it cuts the identity's open connections, streams included, and refuses it
from then on: within a second where the federation's leader is reached, elsewhere when it is again.
A certificate that is valid from later on is good; ` + "`admin cert renew --valid-from now`" + `
makes one.

Revoking a node that its region or the federation needs for a majority is refused without --force.`,
		Example: `  staffetta admin revoke gateway edge-1 --dir DIR
  staffetta admin revoke spiffe://italia/region/lazio/node/lazio-2 --dir DIR --dry-run`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				done, err := revoke(ctx, op, args, force, flags.dryRun)
				if err != nil {
					return fmt.Errorf("revoke: %w", err)
				}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, done, done.text)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "revoke a node even if a group then has no majority")
	return cmd
}

func revoke(ctx context.Context, op *operator.Client, whom []string, force, dryRun bool) (
	*trustChange, error) {
	m, ws, err := op.Witnesses(ctx)
	if err != nil {
		return nil, err
	}
	id, err := findIdentity(m, ws, whom)
	if err != nil {
		return nil, err
	}
	done := &trustChange{Action: "revoke", Subjects: []string{id.String()}, Done: !dryRun}
	var notes []string
	if err := ws.Quorum(id.Node()); err != nil {
		if !force {
			return nil, fmt.Errorf("%w; --force revokes %s all the same", err, id)
		}
		notes = append(notes, err.Error())
	}
	if silent := ws.Silent(); len(silent) > 0 {
		notes = append(notes, "these nodes do not answer, and cut it off when they hear: "+
			join(silent))
	}
	notes = append(notes, "a certificate made with --valid-from now is good again")
	done.Note = strings.Join(notes, "\n")
	if dryRun {
		ctx = operator.Rehearse(ctx)
	}
	return done, op.Revoke(ctx, id)
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
