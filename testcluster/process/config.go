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
	// HTTP is the first gateway's address; default 127.0.0.1:8080. The others', and all
	// addresses else, are chosen freely on 127.0.0.1.
	HTTP string
	// LogStore is wal (default) or bolt.
	LogStore string
	// Restart starts a process again that died.
	Restart bool
	// Citizens is the number of active citizens per region; default 2.
	Citizens int
	// Seed of the synthetic citizens.
	Seed uint64
	// LogLevel of the children; default info.
	LogLevel string
	// GatewayFlags are more flags of every gateway, each as name=value.
	GatewayFlags []string
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
	if c.HTTP == "" {
		c.HTTP = "127.0.0.1:8080"
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
	check(c.LogStore == "wal" || c.LogStore == "bolt", "log store %q is not wal or bolt", c.LogStore)
	var level slog.Level
	check(level.UnmarshalText([]byte(c.LogLevel)) == nil,
		"log level %q is not debug, info, warn or error", c.LogLevel)
	check(c.Citizens >= 1 && c.Citizens <= CitizensMax, "%d citizens per region, 1-%d", c.Citizens,
		CitizensMax)
	for _, flag := range c.GatewayFlags {
		name, _, ok := strings.Cut(flag, "=")
		check(ok && flagName.MatchString(name), "a gateway's flag %q is not name=value", name)
		check(!slices.Contains(gatewayFlagsOurs, name), "a gateway's --%s is not to be chosen", name)
	}
	return errors.Join(errs...)
}

// flagName is the form of a flag's name; gatewayFlagsOurs are those that tie a gateway to its
// federation.
var (
	flagName         = regexp.MustCompile(`^[a-z][a-z-]*$`)
	gatewayFlagsOurs = []string{"http", "admin", "node", "test-login", "cert", "key", "ca"}
)

func (c *Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}
