package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/cmd/internal/cli"
	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/wire"
)

// putFlags are those of a command that puts what a file says.
type putFlags struct {
	viewFlags
	file   string
	dryRun bool
}

func (f *putFlags) register(cmd *cobra.Command) {
	f.viewFlags.register(cmd)
	cmd.Flags().StringVar(&f.file, "file", "", "JSON file; - for standard input")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "check it and say what would change")
	cmd.MarkFlagRequired("file")
}

// putBytesMax bounds the file: a service with every text at its bound has some 170 KiB.
const putBytesMax = 1 << 20

// read decodes the file strictly: an unknown field is a mistyped one.
func (f *putFlags) read(stdin io.Reader, to any) error {
	in := stdin
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return fmt.Errorf("--file: %w", err)
		}
		defer file.Close()
		in = file
	}
	b, err := io.ReadAll(io.LimitReader(in, putBytesMax+1))
	if err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	if len(b) > putBytesMax {
		return fmt.Errorf("--file: %s has more than %d bytes", f.file, putBytesMax)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("--file: %s: %w", f.file, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("--file: %s goes on after the JSON value", f.file)
	}
	return nil
}

// putReport is what a put says.
type putReport struct {
	what    string
	ID      string   `json:"id"`
	Done    bool     `json:"done"`
	Made    bool     `json:"made"`
	Changed []string `json:"changed,omitempty"` // the fields
}

func (r putReport) text(out io.Writer) (err error) {
	would, is := "", "is"
	if !r.Done {
		would, is = "would be ", "would be"
	}
	switch {
	case r.Made:
		_, err = fmt.Fprintf(out, "%s %s %s new\n", r.what, r.ID, is)
	case len(r.Changed) == 0:
		_, err = fmt.Fprintf(out, "%s %s is so already\n", r.what, r.ID)
	default:
		_, err = fmt.Fprintf(out, "%s %s: %schanged: %s\n", r.what, r.ID, would,
			strings.Join(r.Changed, ", "))
	}
	return err
}

// differ names the fields in which two reports differ, as JSON names them.
func differ(before, after any) []string {
	fields := func(v any) map[string]json.RawMessage {
		m := map[string]json.RawMessage{}
		b, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			panic("a report that is no JSON object: " + err.Error())
		}
		return m
	}
	a, b := fields(before), fields(after)
	names := map[string]bool{}
	for name := range a {
		names[name] = !bytes.Equal(a[name], b[name])
	}
	for name := range b {
		names[name] = !bytes.Equal(a[name], b[name])
	}
	maps.DeleteFunc(names, func(_ string, differs bool) bool { return !differs })
	return slices.Sorted(maps.Keys(names))
}

// columns prints a table of n rows.
func columns(out io.Writer, head string, n int, row func(int) string) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for i := range n {
		fmt.Fprintln(w, row(i))
	}
	return w.Flush()
}

// institutionFile is an institution as operators write it.
type institutionFile struct {
	ID     string   `json:"organization_fiscal_code"`
	Name   string   `json:"organization_name"`
	Scopes []string `json:"scopes"`
}

func reportInstitution(i *wire.Institution) institutionFile {
	return institutionFile{ID: string(i.ID), Name: i.Name, Scopes: append([]string{}, i.Scopes...)}
}

func newInstitutionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "institution",
		Short: "Put, list and show institutions, which services belong to"}
	cmd.AddCommand(newInstitutionPutCommand(), newInstitutionListCommand(),
		newInstitutionShowCommand())
	return cmd
}

func newInstitutionPutCommand() *cobra.Command {
	var f putFlags
	cmd := &cobra.Command{
		Use:   "put --file FILE",
		Short: "Make an institution, or replace it as a whole",
		Long: `Make an institution, or replace it as a whole, from a JSON file:

  {"organization_fiscal_code": "80000000010", "organization_name": "Comune di Prova",
   "scopes": ["ApiMessageWrite", "ApiMessageRead", "ApiLimitedProfileRead"]}`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var file institutionFile
			if err := f.read(cmd.InOrStdin(), &file); err != nil {
				return err
			}
			i := wire.Institution{ID: wire.InstitutionID(file.ID), Name: file.Name,
				Scopes: file.Scopes}
			if err := federation.CheckInstitution(&i); err != nil {
				return fmt.Errorf("institution %q: %w", file.ID, err)
			}
			if err := checkScopes(file.Scopes); err != nil {
				return fmt.Errorf("institution %q: %w", file.ID, err)
			}
			return f.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				return putInstitution(ctx, cmd, op, &f, i)
			})
		},
	}
	f.register(cmd)
	return cmd
}

// checkScopes refuses what is none of the contract's scopes: it would allow nothing, and where it
// takes another one's place, an institution could not send any more.
func checkScopes(scopes []string) error {
	var errs []error
	for _, s := range scopes {
		if !contract.KnownScope(s) {
			errs = append(errs, fmt.Errorf("scope %q is none of the contract's, which are %s", s,
				strings.Join(contract.Scopes, " ")))
		}
	}
	return errors.Join(errs...)
}

func putInstitution(ctx context.Context, cmd *cobra.Command, op *operator.Client, f *putFlags,
	i wire.Institution) error {
	report := putReport{ID: string(i.ID), what: "institution"}
	before, err := op.Institution(ctx, i.ID)
	switch {
	case errors.Is(err, wire.NotFound):
		report.Made = true
	case err != nil:
		return fmt.Errorf("institution %s: %w", i.ID, err)
	default:
		report.Changed = differ(reportInstitution(before), reportInstitution(&i))
	}
	if f.dryRun {
		ctx = operator.Rehearse(ctx)
	}
	if err := op.PutInstitution(ctx, i); err != nil {
		return fmt.Errorf("put institution %s: %w", i.ID, err)
	}
	report.Done = !f.dryRun
	return cli.PrintReport(cmd.OutOrStdout(), f.asJSON, report, report.text)
}

func newInstitutionListCommand() *cobra.Command {
	var flags viewFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the institutions",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				list := []institutionFile{}
				for q := (wire.ListRegistry{}); ; {
					page, err := op.Institutions(ctx, q)
					if err != nil {
						return fmt.Errorf("list institutions: %w", err)
					}
					if q.After == "" {
						warnStale(cmd.ErrOrStderr(), page.Fresh)
					}
					for i := range page.List {
						list = append(list, reportInstitution(&page.List[i]))
					}
					if q.After = page.Next; q.After == "" {
						break
					}
				}
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, list,
					func(out io.Writer) error {
						return columns(out, "institution\tname\tscopes", len(list),
							func(i int) string {
								return fmt.Sprintf("%s\t%s\t%d", list[i].ID, list[i].Name,
									len(list[i].Scopes))
							})
					})
			})
		},
	}
	flags.register(cmd)
	return cmd
}

func newInstitutionShowCommand() *cobra.Command {
	var (
		flags viewFlags
		id    string
	)
	cmd := &cobra.Command{
		Use:   "show --institution CODE",
		Short: "Show an institution",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !wire.InstitutionID(id).Valid() {
				return fmt.Errorf("--institution %q is not eleven digits", id)
			}
			return flags.with(cmd, adminWait, func(ctx context.Context, op *operator.Client) error {
				i, err := op.Institution(ctx, wire.InstitutionID(id))
				if err != nil {
					return fmt.Errorf("show institution %s: %w", id, err)
				}
				report := reportInstitution(i)
				return cli.PrintReport(cmd.OutOrStdout(), flags.asJSON, report,
					func(out io.Writer) error {
						_, err := fmt.Fprintf(out, "institution %s\nname    %s\nscopes  %s\n",
							report.ID, report.Name, strings.Join(report.Scopes, " "))
						return err
					})
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&id, "institution", "", "its fiscal code, eleven digits")
	cmd.MarkFlagRequired("institution")
	return cmd
}
