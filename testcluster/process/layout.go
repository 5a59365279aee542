package process

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// federationName is every local federation's; its authority is its own, so two of them cannot
	// mix.
	federationName = "local"
	operatorName   = "local"
	// certificateAge is the validity of what a local federation issues.
	certificateAge = 10 * 365 * 24 * time.Hour
	// votersMax of the federation group.
	votersMax = 7
)

// Files of the directory that others look for.
const (
	FoundingFile     = "founding.json"
	DirectoryKeyFile = "directory.key"
	CitizensFile     = "citizens.txt"
	testLoginFile    = "test-login.tsv"
	servicesFile     = "services.json"
	lockFile         = "lock"
)

// regionTags are ISTAT's region codes, for regions by their own name.
var regionTags = map[string]wire.RegionTag{"piemonte": 1, "valle-d-aosta": 2, "lombardia": 3,
	"trentino-alto-adige": 4, "veneto": 5, "friuli-venezia-giulia": 6, "liguria": 7,
	"emilia-romagna": 8, "toscana": 9, "umbria": 10, "marche": 11, "lazio": 12, "abruzzo": 13,
	"molise": 14, "campania": 15, "puglia": 16, "basilicata": 17, "calabria": 18, "sicilia": 19,
	"sardegna": 20}

// layout is what a federation's directory says.
type layout struct {
	founding founding.File
	fresh    bool
}

// lockDir makes the directory and holds it until the file is closed, or the process ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("a federation runs in %s already", dir)
	}
	return f, nil
}

// prepare makes the directory, or reads the one that is there.
func (c *Config) prepare(free *Ports) (*layout, error) {
	for _, dir := range []string{"pki", "nodes", "logs"} {
		if err := os.MkdirAll(c.path(dir), 0o700); err != nil {
			return nil, err
		}
	}
	b, err := os.ReadFile(c.path(FoundingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c.found(free)
	}
	if err != nil {
		return nil, err
	}
	if _, err := founding.Parse(b); err != nil {
		return nil, fmt.Errorf("%s: %w", c.path(FoundingFile), err)
	}
	l := new(layout)
	if err := json.Unmarshal(b, &l.founding); err != nil {
		return nil, err
	}
	for _, n := range l.founding.Nodes {
		free.Keep(n.Addr)
	}
	return l, nil
}

// found chooses names and addresses, issues every certificate and writes the founding file last.
func (c *Config) found(free *Ports) (*layout, error) {
	l := &layout{fresh: true, founding: founding.File{Federation: federationName,
		Version: wire.Version}}
	ports, err := free.UDP(len(c.Regions) * c.Nodes)
	if err != nil {
		return nil, err
	}
	taken := map[wire.RegionTag]bool{}
	for _, r := range c.Regions {
		tag, ok := regionTags[r]
		for next := wire.RegionTag(100); !ok || taken[tag]; next++ {
			tag, ok = next, true
		}
		taken[tag] = true
		l.founding.Regions = append(l.founding.Regions,
			founding.Region{ID: wire.RegionID(r), Tag: tag})
	}
	voters := min(len(ports), votersMax)
	voters -= 1 - voters%2
	for i := range ports { // by turns, so that voters are spread over the regions
		region := c.Regions[i%len(c.Regions)]
		l.founding.Nodes = append(l.founding.Nodes, founding.Node{
			ID:     wire.NodeID(fmt.Sprintf("%s-%d", region, i/len(c.Regions)+1)),
			Region: wire.RegionID(region), Addr: fmt.Sprintf("127.0.0.1:%d", ports[i]),
			Voter: i < voters})
	}
	for i := range c.Gateways {
		l.founding.Gateways = append(l.founding.Gateways, founding.Gateway{
			ID:     wire.GatewayID(fmt.Sprintf("gateway-%d", i+1)),
			Region: wire.RegionID(c.Regions[i%len(c.Regions)])})
	}
	if _, err := l.founding.Map(); err != nil {
		return nil, err
	}
	if err := c.issue(l); err != nil {
		return nil, err
	}
	var key [32]byte
	rand.Read(key[:])
	text := []byte(hex.EncodeToString(key[:]) + "\n")
	if err := os.WriteFile(c.path(DirectoryKeyFile), text, 0o600); err != nil {
		return nil, err
	}
	return l, os.WriteFile(c.path(FoundingFile), l.founding.JSON(), 0o600)
}

// issue makes the authority and a certificate for every process and the operator.
func (c *Config) issue(l *layout) error {
	authority, err := ca.New(federationName, certificateAge)
	if err != nil {
		return err
	}
	files := map[string][]byte{"ca.crt": authority.CertPEM(), "ca.key": authority.KeyPEM()}
	add := func(id link.Identity) error {
		cert, key, err := authority.Issue(id.URI(), certificateAge, link.UnitsOf(id)...)
		files[id.Name+".crt"], files[id.Name+".key"] = cert, key
		return err
	}
	errs := []error{add(link.Identity{Federation: federationName, Role: link.RoleOperator,
		Name: operatorName})}
	for _, n := range l.founding.Nodes {
		errs = append(errs, add(link.Identity{Federation: federationName, Role: link.RoleNode,
			Region: n.Region, Name: string(n.ID)}))
	}
	for _, g := range l.founding.Gateways {
		errs = append(errs, add(link.Identity{Federation: federationName, Role: link.RoleGateway,
			Region: g.Region, Name: string(g.ID)}))
	}
	for name, b := range files {
		errs = append(errs, os.WriteFile(c.path("pki", name), b, 0o600))
	}
	return errors.Join(errs...)
}

// pki returns the flags that name a process's certificate.
func (c *Config) pki(id string) []string {
	return []string{"--cert", c.path("pki", id+".crt"), "--key", c.path("pki", id+".key"),
		"--ca", c.path("pki", "ca.crt")}
}

// Operator is what an operator of the federation in dir needs: its certificate, and the addresses
// of its nodes.
func Operator(dir string) (operator.Config, error) {
	m, err := founding.Read(filepath.Join(dir, FoundingFile))
	if err != nil {
		return operator.Config{}, err
	}
	pki := func(name string) string { return filepath.Join(dir, "pki", name) }
	credentials, err := link.LoadCertificate(pki(operatorName+".crt"), pki(operatorName+".key"),
		pki("ca.crt"), m.Federation)
	cfg := operator.Config{Credentials: credentials}
	for _, n := range m.Nodes {
		cfg.Nodes = append(cfg.Nodes, n.Addr)
	}
	return cfg, err
}
