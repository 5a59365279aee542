// Package process runs a whole federation on one machine as real child processes: relay nodes and
// gateways of the staffetta binary, with a certificate authority, keys, services and citizens of
// its own. The command `staffetta local` is this package with flags.
//
// Everything a federation is made of lies in one directory, so that it comes back, with all its
// data, when it is started there again:
//
//	founding.json      regions, nodes, addresses
//	directory.key      the federation's secret
//	pki/               the authority and one certificate per process, and the operator's
//	identity-providers.json, identity-provider.secret
//	                   where citizens log in
//	services.json      institutions, services and their keys
//	test-login.tsv     who may log in with the test login
//	citizens.txt       the active citizens' codes, one a line
//	nodes/<id>/        a node's data
//	logs/<id>.log      a process's standard error
//	local.json         what runs now: addresses, process ids, keys
//	lock               held while the federation runs
//
// A child that dies is started again after a second, unless Config says not to, and that is
// reported. Children end when this process ends, however it ends.
package process

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/staffetta/staffetta/gateway/citizen"
	"github.com/staffetta/staffetta/wire"
)

// Bounds of a local federation: what one machine can carry, and more than tests need.
const (
	RegionsMax  = 21
	NodesMax    = 7
	GatewaysMax = 16
	CitizensMax = 1_000_000
)

// Config says what federation to run. Zero values are the defaults named.
type Config struct {
	// Binary is the staffetta executable. Required.
	Binary string
	// Dir is the federation's directory. Required.
	Dir string
	// Regions; default lazio, lombardia, sicilia.
	Regions []string
	// Nodes per region; default 3.
	Nodes int
	// Gateways; default 1. Gateway i's home is region i, in turn.
	Gateways int
	// HTTP is the first gateway's address. The others', all addresses else and a default are
	// chosen freely on 127.0.0.1.
	HTTP string
	// LogStore is wal (default) or bolt.
	LogStore string
	// Restart starts a process again that died.
	Restart bool
	// Citizens is the number of active citizens per region; default 2.
	Citizens int
	// Newcomers is the number of further citizens per region who may log in and never did.
	Newcomers int
	// Seed of the synthetic citizens.
	Seed uint64
	// LogLevel of the children; default info.
	LogLevel string
	// NodeFlags and GatewayFlags are more flags of every node and gateway, each as name=value. In
	// a value {id} stands for the process's name.
	NodeFlags, GatewayFlags []string
	// IdentityProvider runs an identity provider of invented citizens, whom everybody on this machine
	// can be, and has the gateways believe it.
	IdentityProvider bool
	// Env is what children find in their environment besides this process's own, as NAME=value.
	Env []string
	// Indirect has every process's socket on another address than the map says. Whoever asks for
	// it carries datagrams from the one to the other, see Federation.Endpoints.
	Indirect bool
	// Ended is told of every child that ends without being asked to, by its name. It must not
	// block. nil: nobody.
	Ended func(id string, err error)
	// Events takes one line per event (a child died, is started again); default: nowhere.
	Events io.Writer
	// ReadyWait bounds the start; default 60 s and what N citizens take.
	ReadyWait time.Duration
}

// restartPause is how long a dead child stays dead.
const restartPause = time.Second

func (c *Config) setDefaults() {
	if len(c.Regions) == 0 {
		c.Regions = []string{"lazio", "lombardia", "sicilia"}
	}
	if c.Nodes == 0 {
		c.Nodes = 3
	}
	if c.Gateways == 0 {
		c.Gateways = 1
	}
	if c.LogStore == "" {
		c.LogStore = "wal"
	}
	if c.Citizens == 0 {
		c.Citizens = 2
	}
	if c.LogLevel == "" {
		c.LogLevel = "info"
	}
	if c.Ended == nil {
		c.Ended = func(string, error) {}
	}
	if c.Events == nil {
		c.Events = io.Discard
	}
	if c.ReadyWait == 0 {
		c.ReadyWait = time.Minute + time.Duration(c.Citizens)*time.Duration(len(c.Regions))*
			10*time.Millisecond
	}
}

func (c *Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Binary != "", "no binary")
	check(c.Dir != "", "no directory")
	check(len(c.Regions) <= RegionsMax, "%d regions, at most %d", len(c.Regions), RegionsMax)
	seen := map[string]bool{}
	for _, r := range c.Regions {
		check(wire.RegionID(r).Valid() && !seen[r], "region %q is not a new name of [a-z0-9-]", r)
		seen[r] = true
	}
	check(c.Nodes >= 1 && c.Nodes <= NodesMax, "%d nodes per region, 1-%d", c.Nodes, NodesMax)
	check(c.Gateways >= 1 && c.Gateways <= GatewaysMax, "%d gateways, 1-%d", c.Gateways,
		GatewaysMax)
	check(c.Newcomers >= 0 && c.Newcomers <= CitizensMax, "%d newcomers per region, 0-%d",
		c.Newcomers, CitizensMax)
	people := len(c.Regions)*(c.Citizens+c.Newcomers) + otherPeople + 1 // the contract's
	check(people <= citizen.TestCitizensMax, "%d citizens and newcomers of all regions, at most %d",
		people-otherPeople-1, citizen.TestCitizensMax-otherPeople-1)
	check(c.LogStore == "wal" || c.LogStore == "bolt", "log store %q is not wal or bolt", c.LogStore)
	var level slog.Level
	check(level.UnmarshalText([]byte(c.LogLevel)) == nil,
		"log level %q is not debug, info, warn or error", c.LogLevel)
	check(c.Citizens >= 1 && c.Citizens <= CitizensMax, "%d citizens per region, 1-%d", c.Citizens,
		CitizensMax)
	more := func(of string, flags, ours []string) {
		for _, flag := range flags {
			name, _, ok := strings.Cut(flag, "=")
			check(ok && flagName.MatchString(name), "a %s's flag %q is not name=value", of, name)
			check(!slices.Contains(ours, name), "a %s's --%s is not to be chosen", of, name)
		}
	}
	more("node", c.NodeFlags, nodeFlagsOurs)
	more("gateway", c.GatewayFlags, gatewayFlagsOurs)
	return errors.Join(errs...)
}

// flagName is the form of a flag's name; the others are flags that tie a process to its
// federation.
var (
	flagName      = regexp.MustCompile(`^[a-z][a-z-]*$`)
	nodeFlagsOurs = []string{"id", "region", "listen", "admin", "dir", "founding",
		"directory-key", "log-store", "cert", "key", "ca"}
	gatewayFlagsOurs = []string{"http", "admin", "link", "node", "test-login", "cert", "key", "ca"}
)

// moreFlags are the flags of the process id that Config adds.
func moreFlags(id string, flags []string) (args []string) {
	for _, flag := range flags {
		args = append(args, "--"+strings.ReplaceAll(flag, "{id}", id))
	}
	return args
}

func (c *Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}
