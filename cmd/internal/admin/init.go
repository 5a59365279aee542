package admin

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// initFlags describe a federation that is to be founded.
type initFlags struct {
	out, federation          string
	operators                []string
	spec, requests           string
	regions, nodes, gateways []string
	days                     int
}

func newInitCommand() *cobra.Command {
	var f initFlags
	return command{
		use:   "init --out DIR --federation NAME --region NAME=TAG --node NAME=REGION@HOST:PORT",
		short: "Create all files that a new federation starts from",
		long: `Create all files that a new federation starts from, in a directory that is
not there yet: the founding file, the directory key, an authority, and the certificates of the
nodes, the gateways and a first operator. Nothing is started. Copy to each node what is its own,
and keep pki/ca.key away from all of them.

With --requests no key but the authority's and the directory's is made here: each of the members
has made its own with "cert request", and its request lies in the directory as NAME.csr.
Certificates are no secret; "cert install" puts them beside their keys.`,
		example: `  staffetta admin init --out italia --federation italia --region lazio=12 \
    --node lazio-1=lazio@10.0.0.1:7400 --node lazio-2=lazio@10.0.0.2:7400 \
    --node lazio-3=lazio@10.0.0.3:7400 --gateway gateway-1=lazio --operator ada`,
		dry:   dryWrite,
		flags: f.register,
		do:    func(c *invocation) (report, error) { return f.run(c.dry) },
	}.build()
}

func (f *initFlags) register(s *flagSet) {
	s.need(&f.out, "out", "directory to make")
	s.StringVar(&f.federation, "federation", "", "the federation's name")
	s.StringVar(&f.spec, "spec", "", "founding file to begin with, instead of --federation, "+
		"--region, --node and --gateway; without voters they are chosen")
	s.StringVar(&f.requests, "requests", "", "directory with a request NAME.csr of every node, "+
		"gateway and operator; without it their keys are made here")
	s.StringArrayVar(&f.operators, "operator", []string{"operator"}, "a first operator's name; "+
		"may be repeated")
	s.StringArrayVar(&f.regions, "region", nil, "a region and its number for ever, NAME=0-1023; "+
		"may be repeated")
	s.StringArrayVar(&f.nodes, "node", nil, "a node, its region and where it is to be reached, "+
		"NAME=REGION@HOST:PORT; may be repeated")
	s.StringArrayVar(&f.gateways, "gateway", nil, "a gateway and its home region, NAME=REGION; "+
		"may be repeated")
	s.IntVar(&f.days, "days", certDaysDefault, fmt.Sprintf("days that the certificates are "+
		"valid, 1-%d", daysMax))
	for _, name := range []string{"federation", "region", "node", "gateway"} {
		s.cmd.MarkFlagsMutuallyExclusive("spec", name)
	}
	s.cmd.MarkFlagsOneRequired("spec", "federation")
	s.cmd.MarkFlagsRequiredTogether("federation", "region", "node")
}

// initialised is what `init` says.
type initialised struct {
	Federation string        `json:"federation"`
	Dir        string        `json:"dir"`
	Voters     []wire.NodeID `json:"voters"`
	// Decisive are the regions whose loss takes the federation's majority away.
	Decisive []wire.RegionID `json:"decisive_regions,omitempty"`
	Files    []string        `json:"files"` // in Dir
	DryRun   bool            `json:"dry_run,omitempty"`
}

func (i initialised) text(p *page) {
	p.printf("%s federation %s in %s: %d files; in its group vote %s\n",
		either(!i.DryRun, "made", "would make"), i.Federation, i.Dir, len(i.Files), join(i.Voters, " "))
	for _, r := range i.Decisive {
		p.printf("warning: who loses region %s loses the majority of the federation's group: then "+
			"no citizen logs in for the first time or moves, and nothing is administered, in any "+
			"region; a third region, of one node at least, avoids it\n", r)
	}
}

func (f *initFlags) run(dry bool) (initialised, error) {
	r := initialised{Federation: f.federation, Dir: f.out, DryRun: dry}
	if err := checkDays(f.days, daysMax); err != nil {
		return r, err
	}
	for _, o := range f.operators {
		if !wire.NodeID(o).Valid() {
			return r, fmt.Errorf("--operator %q is not 1-%d of [a-z0-9-]", o, wire.NameBytesMax)
		}
	}
	file, err := f.file()
	if err != nil {
		return r, err
	}
	f.federation, r.Federation = file.Federation, file.Federation
	if len(votersIn(file)) == 0 {
		file.SpreadVoters()
	}
	if _, err := file.Map(); err != nil {
		return r, err
	}
	// Checked here and not where nodes read the file: one that is there must not keep them down.
	for _, n := range file.Nodes {
		if err := link.CheckAddr(n.Addr); err != nil {
			return r, fmt.Errorf("address of node %s: %w", n.ID, err)
		}
	}
	r.Voters, r.Decisive = votersIn(file), file.Decisive()
	if _, err := os.Lstat(f.out); err == nil {
		return r, fmt.Errorf("--out: %s is there; nothing is written over", f.out)
	} else if !errors.Is(err, os.ErrNotExist) {
		return r, fmt.Errorf("--out: %w", err)
	}
	files, err := f.files(file)
	if err != nil {
		return r, err
	}
	for _, w := range files {
		r.Files = append(r.Files, w.path)
	}
	if dry {
		return r, nil
	}
	return r, writeNew(f.out, files)
}

// file reads the flags.
func (f *initFlags) file() (*founding.File, error) {
	if f.spec != "" {
		return f.specified()
	}
	file := &founding.File{Federation: f.federation, Version: wire.Version}
	for _, s := range f.regions {
		name, tag, ok := strings.Cut(s, "=")
		n, err := strconv.ParseUint(tag, 10, 16)
		if !ok || err != nil {
			return nil, fmt.Errorf("--region %q is not NAME=TAG", s)
		}
		file.Regions = append(file.Regions, founding.Region{ID: wire.RegionID(name),
			Tag: wire.RegionTag(n)})
	}
	for _, s := range f.nodes {
		name, rest, ok := strings.Cut(s, "=")
		region, addr, at := strings.Cut(rest, "@")
		if !ok || !at {
			return nil, fmt.Errorf("--node %q is not NAME=REGION@HOST:PORT", s)
		}
		file.Nodes = append(file.Nodes, founding.Node{ID: wire.NodeID(name),
			Region: wire.RegionID(region), Addr: addr})
	}
	for _, s := range f.gateways {
		name, region, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("--gateway %q is not NAME=REGION", s)
		}
		file.Gateways = append(file.Gateways, founding.Gateway{ID: wire.GatewayID(name),
			Region: wire.RegionID(region)})
	}
	return file, nil
}

// specified reads --spec.
func (f *initFlags) specified() (*founding.File, error) {
	in, err := os.Open(f.spec)
	if err != nil {
		return nil, fmt.Errorf("--spec: %w", err)
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, founding.BytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("--spec: %w", err)
	}
	file, err := founding.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("--spec %s: %w", f.spec, err)
	}
	if file.Version == 0 {
		file.Version = wire.Version
	}
	return file, nil
}

// files makes the content of everything, by paths below the directory.
func (f *initFlags) files(made *founding.File) ([]file, error) {
	authority, err := ca.New(f.federation, caDaysDefault*day)
	if err != nil {
		return nil, err
	}
	var key wire.DirectoryKey
	rand.Read(key[:]) // never fails
	var files []file
	add := func(path string, text []byte) { files = append(files, file{path, 0o600, text}) }
	add("founding.json", made.JSON())
	add("directory.key", []byte(hex.EncodeToString(key[:])+"\n"))
	add("pki/ca.crt", authority.CertPEM())
	add("pki/ca.key", authority.KeyPEM())
	names := map[string]bool{"ca": true}
	issue := func(role link.Role, region wire.RegionID, name string) error {
		if names[name] {
			return fmt.Errorf("two of the name %s: their files would be the same", name)
		}
		names[name] = true
		id := link.Identity{Federation: f.federation, Role: role, Region: region, Name: name}
		if f.requests != "" {
			cert, err := f.certify(authority, id)
			add("pki/"+name+".crt", cert)
			return err
		}
		cert, key, err := authority.Issue(id.URI(), time.Duration(f.days)*day, link.UnitsOf(id)...)
		add("pki/"+name+".crt", cert)
		add("pki/"+name+".key", key)
		return err
	}
	var problems []error
	for _, o := range f.operators {
		problems = append(problems, issue(link.RoleOperator, "", o))
	}
	for _, n := range made.Nodes {
		problems = append(problems, issue(link.RoleNode, n.Region, string(n.ID)))
	}
	for _, g := range made.Gateways {
		problems = append(problems, issue(link.RoleGateway, g.Region, string(g.ID)))
	}
	return files, errors.Join(problems...)
}

// certify signs a member's request.
func (f *initFlags) certify(authority *ca.CA, id link.Identity) ([]byte, error) {
	text, err := ca.ReadFile(filepath.Join(f.requests, id.Name+".csr"))
	if err != nil {
		return nil, fmt.Errorf("--requests: %w", err)
	}
	cert, err := signRequest(authority, text, id, time.Now().Add(-ca.Skew),
		time.Duration(f.days)*day, link.UnitsOf(id)...)
	if err != nil {
		return nil, fmt.Errorf("--requests: %s.csr: %w", id.Name, err)
	}
	return cert, nil
}

// writeNew makes a directory with files, all of them or none.
func writeNew(dir string, files []file) (err error) {
	tmp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), "."+filepath.Base(dir)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	for _, f := range files {
		path := filepath.Join(tmp, filepath.FromSlash(f.path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.text, f.mode); err != nil {
			return err
		}
	}
	return os.Rename(tmp, dir)
}
