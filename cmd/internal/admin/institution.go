package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/internal/strictjson"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/wire"
)

// putFlags are those of a command that puts what a file says.
type putFlags struct{ file string }

func (f *putFlags) register(s *flagSet) {
	s.need(&f.file, "file", "JSON file; - for standard input")
}

// putBytesMax bounds the file: a service with every text at its bound has some 170 KiB.
const putBytesMax = 1 << 20

// read decodes the file strictly: an unknown field is a mistyped one.
func (f *putFlags) read(c *invocation, to any) error {
	in, err := c.open(f.file)
	if err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, putBytesMax+1))
	if err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	if len(b) > putBytesMax {
		return fmt.Errorf("--file: %s has more than %d bytes", f.file, putBytesMax)
	}
	if err := strictjson.Decode(b, to); err != nil {
		return fmt.Errorf("--file: %s: %w", f.file, err)
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

func (r putReport) text(p *page) {
	switch {
	case r.Made:
		p.printf("%s %s %s new\n", r.what, r.ID, either(r.Done, "is", "would be"))
	case len(r.Changed) == 0:
		p.printf("%s %s is so already\n", r.what, r.ID)
	default:
		p.printf("%s %s: %schanged: %s\n", r.what, r.ID, either(r.Done, "", "would be "),
			strings.Join(r.Changed, ", "))
	}
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
	return group("institution", "Put, list and show institutions, which own services",
		newInstitutionPutCommand(), newInstitutionListCommand(), newInstitutionShowCommand())
}

func newInstitutionPutCommand() *cobra.Command {
	var (
		f putFlags
		i wire.Institution
	)
	return command{
		use:   "put --file FILE",
		short: "Create an institution, or replace it as a whole",
		long: `Create an institution, or replace it as a whole, from a JSON file:

  {"organization_fiscal_code": "80000000010", "organization_name": "Comune di Prova",
   "scopes": ["ApiMessageWrite", "ApiMessageRead", "ApiLimitedProfileRead"]}`,
		dry:   dryPut,
		flags: f.register,
		check: func(c *invocation) error {
			var file institutionFile
			if err := f.read(c, &file); err != nil {
				return err
			}
			i = wire.Institution{ID: wire.InstitutionID(file.ID), Name: file.Name,
				Scopes: file.Scopes}
			err := federation.CheckInstitution(&i)
			if err == nil {
				err = checkScopes(file.Scopes)
			}
			if err != nil {
				return fmt.Errorf("institution %q: %w", file.ID, err)
			}
			return nil
		},
		ask: func(c *invocation) (report, error) { return putInstitution(c, i) },
	}.build()
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

func putInstitution(c *invocation, i wire.Institution) (report, error) {
	r := putReport{ID: string(i.ID), what: "institution", Done: !c.dry}
	before, err := c.op.Institution(c.ctx, i.ID)
	switch {
	case errors.Is(err, wire.NotFound):
		r.Made = true
	case err != nil:
		return nil, fmt.Errorf("institution %s: %w", i.ID, err)
	default:
		r.Changed = differ(reportInstitution(before), reportInstitution(&i))
	}
	if err := c.op.PutInstitution(c.ctx, i); err != nil {
		return nil, fmt.Errorf("institution %s: %w", i.ID, err)
	}
	return r, nil
}

// pagesOf asks for the pages of a list of the registry, one after the other.
func pagesOf(c *invocation, q wire.ListRegistry,
	ask func(wire.ListRegistry) (next string, f wire.Freshness, err error)) error {
	for {
		next, fresh, err := ask(q)
		if err != nil {
			return err
		}
		if q.After == "" {
			c.warnStale(fresh)
		}
		if q.After = next; next == "" {
			return nil
		}
	}
}

// institutionFiles are what `institution list` says.
type institutionFiles []institutionFile

func (l institutionFiles) text(p *page) {
	p.row("institution", "name", "scopes")
	for _, i := range l {
		p.row(i.ID, i.Name, len(i.Scopes))
	}
}

func newInstitutionListCommand() *cobra.Command {
	return command{
		use:   "list",
		short: "List the institutions",
		ask: func(c *invocation) (report, error) {
			list := institutionFiles{}
			err := pagesOf(c, wire.ListRegistry{},
				func(q wire.ListRegistry) (next string, f wire.Freshness, err error) {
					page, err := c.op.Institutions(c.ctx, q)
					if err != nil {
						return "", f, err
					}
					for i := range page.List {
						list = append(list, reportInstitution(&page.List[i]))
					}
					return page.Next, page.Fresh, nil
				})
			return list, err
		},
	}.build()
}

func (i institutionFile) text(p *page) {
	p.printf("institution %s\nname    %s\nscopes  %s\n", i.ID, i.Name, strings.Join(i.Scopes, " "))
}

func newInstitutionShowCommand() *cobra.Command {
	var id string
	return command{
		use:   "show --institution CODE",
		short: "Show an institution",
		flags: func(f *flagSet) {
			f.need(&id, "institution", "its fiscal code, eleven digits")
		},
		check: func(*invocation) error {
			if !wire.InstitutionID(id).Valid() {
				return fmt.Errorf("--institution %q is not eleven digits", id)
			}
			return nil
		},
		ask: func(c *invocation) (report, error) {
			i, err := c.op.Institution(c.ctx, wire.InstitutionID(id))
			if err != nil {
				return nil, err
			}
			return reportInstitution(i), nil
		},
	}.build()
}
