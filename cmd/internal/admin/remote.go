package admin

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/wire"
)

// remoteFile is a configuration of remote content as operators write it, in the contract's words.
type remoteFile struct {
	ID           string             `json:"configuration_id,omitempty"`
	Institution  string             `json:"organization_fiscal_code"`
	Name         string             `json:"name"`
	Description  string             `json:"description"`
	Precondition string             `json:"has_precondition"`
	Lollipop     bool               `json:"is_lollipop_enabled,omitempty"`
	LollipopOff  []string           `json:"disable_lollipop_for,omitempty"`
	Production   *remoteEnvironment `json:"prod_environment,omitempty"`
	Test         *remoteEnvironment `json:"test_environment,omitempty"`
}

type remoteEnvironment struct {
	BaseURL        string               `json:"base_url"`
	Authentication remoteAuthentication `json:"details_authentication"`
	Users          []string             `json:"test_users,omitempty"`
}

type remoteAuthentication struct {
	Header string `json:"header_key_name"`
	Key    string `json:"key,omitempty"`
	Type   string `json:"type,omitempty"`
}

// spec is the file as the node takes it.
func (f *remoteFile) spec() *wire.RemoteContentSpec {
	s := &wire.RemoteContentSpec{Content: wire.RemoteContent{ID: wire.RemoteContentIDOf(f.ID),
		Institution: wire.InstitutionID(f.Institution), Name: f.Name, Description: f.Description,
		Precondition: f.Precondition, Lollipop: f.Lollipop}, LollipopOff: f.LollipopOff}
	if p := f.Production; p != nil {
		s.Content.Production = p.server()
		s.ProductionKey = p.Authentication.Key
	}
	if t := f.Test; t != nil {
		s.Content.Test = t.server()
		s.TestKey, s.TestUsers = t.Authentication.Key, t.Users
	}
	return s
}

func (e *remoteEnvironment) server() *wire.RemoteServer {
	return &wire.RemoteServer{BaseURL: e.BaseURL, Header: e.Authentication.Header}
}

// remoteReport is a configuration as it is shown: its keys never, of citizens how many.
type remoteReport struct {
	ID           wire.RemoteContentID `json:"configuration_id"`
	Institution  wire.InstitutionID   `json:"organization_fiscal_code"`
	Name         string               `json:"name"`
	Description  string               `json:"description"`
	Precondition string               `json:"has_precondition"`
	Lollipop     bool                 `json:"is_lollipop_enabled"`
	LollipopOff  int                  `json:"disabled_lollipop"`
	Production   string               `json:"prod_base_url,omitempty"`
	Test         string               `json:"test_base_url,omitempty"`
	TestUsers    int                  `json:"test_users"`
}

func reportRemote(r *wire.RemoteContent) remoteReport {
	s := remoteReport{ID: r.ID, Institution: r.Institution, Name: r.Name,
		Description: r.Description, Precondition: r.Precondition, Lollipop: r.Lollipop,
		LollipopOff: len(r.LollipopOff), TestUsers: len(r.TestUsers)}
	if r.Production != nil {
		s.Production = r.Production.BaseURL
	}
	if r.Test != nil {
		s.Test = r.Test.BaseURL
	}
	return s
}

func newRemoteCommand() *cobra.Command {
	return group("remote-content", "Put, list and remove configurations of remote content",
		newRemotePutCommand(), newRemoteListCommand(), newRemoteRemoveCommand())
}

func newRemotePutCommand() *cobra.Command {
	var (
		f    putFlags
		spec *wire.RemoteContentSpec
	)
	return command{
		use:   "put --file FILE",
		short: "Make a configuration of remote content, or replace it as a whole",
		long: `Make a configuration of remote content, or replace it as a whole, from a JSON file in the
contract's words. It says where an institution keeps what its messages refer to by
configuration_id, and by which key it knows a gateway. Without configuration_id a new one is made,
and shown.

  {"configuration_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "organization_fiscal_code": "80000000010",
   "name": "Atti", "description": "Gli atti del comune.", "has_precondition": "NEVER",
   "is_lollipop_enabled": false, "disable_lollipop_for": [],
   "prod_environment": {"base_url": "https://atti.comune.example/v1", "details_authentication":
     {"header_key_name": "X-Api-Key", "key": "a-key-of-the-server", "type": "API_KEY"}},
   "test_environment": {"base_url": "https://prova.comune.example/v1", "test_users":
     ["MRNNNA36M50M981K"], "details_authentication":
     {"header_key_name": "X-Api-Key", "key": "another-key", "type": "API_KEY"}}}

Keys are sealed and fiscal codes hashed before anything is logged, and no command shows them. A key
that is left out stays as it is, as long as the server's scheme and host do.`,
		example: `  staffetta admin remote-content put --dir DIR --file atti.json --dry-run`,
		dry:     dryPut,
		flags:   f.register,
		check: func(c *invocation) error {
			var file remoteFile
			if err := f.read(c, &file); err != nil {
				return err
			}
			if file.ID == "" {
				file.ID = string(wire.NewRemoteContentID(wire.TimeOf(time.Now())))
			}
			spec = file.spec()
			// As the node that takes it would check it; a key that is left out it may know.
			whole := *file.spec()
			if whole.ProductionKey == "" {
				whole.ProductionKey = "known"
			}
			if whole.TestKey == "" {
				whole.TestKey = "known"
			}
			_, err := federation.NewRemoteContent(&whole, nil, wire.NewHasher(wire.DirectoryKey{}))
			if err != nil {
				return fmt.Errorf("configuration %q: %w", file.ID, err)
			}
			return nil
		},
		ask: func(c *invocation) (report, error) { return putRemote(c, spec) },
	}.build()
}

func putRemote(c *invocation, spec *wire.RemoteContentSpec) (report, error) {
	id := spec.Content.ID
	if _, err := c.op.Institution(c.ctx, spec.Content.Institution); err != nil {
		return nil, fmt.Errorf("configuration %q: its institution %s: %w; put that first", id,
			spec.Content.Institution, err)
	}
	r := putReport{ID: string(id), what: "configuration", Done: !c.dry, Made: true}
	before, err := remotesOf(c, "")
	if err != nil {
		return nil, err
	}
	for i := range before {
		if before[i].ID != id {
			continue
		}
		after := reportRemote(&spec.Content)
		after.LollipopOff, after.TestUsers = len(spec.LollipopOff), len(spec.TestUsers)
		r.Made, r.Changed = false, differ(before[i], after)
		if spec.ProductionKey+spec.TestKey != "" {
			r.Changed = append(r.Changed, "key (given)")
		}
	}
	given := *spec
	if c.dry { // nothing secret is needed for that
		given.ProductionKey, given.TestKey, given.TestUsers, given.LollipopOff = "", "", nil, nil
	}
	if err := c.op.PutRemoteContent(c.ctx, given); err != nil {
		return nil, fmt.Errorf("configuration %q: %w", id, err)
	}
	return r, nil
}

// remotesOf lists the configurations of an institution; of all without one.
func remotesOf(c *invocation, institution wire.InstitutionID) (remoteReports, error) {
	list := remoteReports{}
	err := pagesOf(c, wire.ListRegistry{Institution: institution},
		func(q wire.ListRegistry) (next string, f wire.Freshness, err error) {
			page, err := c.op.RemoteContents(c.ctx, q)
			if err != nil {
				return "", f, err
			}
			for i := range page.List {
				list = append(list, reportRemote(&page.List[i]))
			}
			return page.Next, page.Fresh, nil
		})
	return list, err
}

// remoteReports are what `remote-content list` says.
type remoteReports []remoteReport

func (l remoteReports) text(p *page) {
	p.row("configuration", "institution", "name", "precondition", "production", "test", "test users")
	for _, r := range l {
		p.row(string(r.ID), string(r.Institution), r.Name, r.Precondition, r.Production, r.Test,
			r.TestUsers)
	}
}

func newRemoteListCommand() *cobra.Command {
	var institution string
	return command{
		use:   "list [--institution CODE]",
		short: "List the configurations of remote content, without their keys",
		long: `List the configurations of remote content: whose they are, and from where a citizen's
gateway fetches what their messages refer to. Keys of servers are never shown.`,
		example: `  staffetta admin remote-content list --dir DIR --institution 80000000010`,
		flags: func(f *flagSet) {
			f.StringVar(&institution, "institution", "", "only those of this institution")
		},
		check: func(*invocation) error {
			if institution != "" && !wire.InstitutionID(institution).Valid() {
				return fmt.Errorf("--institution %q is not eleven digits", institution)
			}
			return nil
		},
		ask: func(c *invocation) (report, error) {
			return remotesOf(c, wire.InstitutionID(institution))
		},
	}.build()
}

func newRemoteRemoveCommand() *cobra.Command {
	var id string
	return command{
		use:   "remove --configuration ID",
		short: "Remove a configuration of remote content",
		long: `Remove a configuration of remote content. Messages that name it can be listed and read as
before, but what the institution keeps of them cannot be fetched any more: clients are answered
410.`,
		example: `  staffetta admin remote-content remove --dir DIR \
    --configuration 01ARZ3NDEKTSV4RRFFQ69G5FAV --dry-run`,
		dry: dryChange,
		flags: func(f *flagSet) {
			f.need(&id, "configuration", "its id, 26 characters")
		},
		check: func(*invocation) error {
			if !wire.RemoteContentIDOf(id).Valid() {
				return fmt.Errorf("--configuration %q is not the id of a configuration", id)
			}
			return nil
		},
		ask: func(c *invocation) (report, error) {
			id := wire.RemoteContentIDOf(id)
			err := c.op.RemoveRemoteContent(c.ctx, id)
			if err != nil && !(c.dry && errors.Is(err, wire.NotFound)) {
				return nil, fmt.Errorf("configuration %q: %w", id, err)
			}
			return removedRemote{ID: id, Done: !c.dry}, nil
		},
	}.build()
}

// removedRemote is what `remote-content remove` says.
type removedRemote struct {
	ID   wire.RemoteContentID `json:"configuration_id"`
	Done bool                 `json:"done"`
}

func (r removedRemote) text(p *page) {
	p.printf("configuration %s %s\n", r.ID, either(r.Done, "is removed", "would be removed"))
}
