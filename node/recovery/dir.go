package recovery

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/datadir"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
)

// RestoreConfig says what a data directory is to be made of. Required unless a default is given.
type RestoreConfig struct {
	// Dir is a data directory: a new one, or one that the node used before, in which Group is
	// missing.
	Dir string
	// Node is whose directory it is, of Region; Founder is the node that begins the group, alone.
	// The others join it as members do, from the same copy.
	Node, Founder wire.NodeID
	Region        wire.RegionID
	// Replace moves the group's directory aside that is there.
	Replace bool
	// Identity is that of the copy, with the new incarnation.
	Identity store.Identity
	// Plan is the copy; its Configuration is not needed.
	Plan store.Plan

	// OnMap is given the map that a federation's copy has; nil: nobody asks.
	OnMap func(*wire.Map) error

	FS vfs.FS // of the state; default: the disk
}

func (c *RestoreConfig) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Dir != "", "no data directory")
	check(c.Node.Valid(), "node id %q is not 1-%d of [a-z0-9-]", c.Node, wire.NameBytesMax)
	check(c.Founder.Valid(), "founder %q is not 1-%d of [a-z0-9-]", c.Founder, wire.NameBytesMax)
	check(c.Region.Valid(), "region %q is not 1-%d of [a-z0-9-]", c.Region, wire.NameBytesMax)
	check(c.Identity.Incarnation > 0, "a restored group's incarnation is at least 1")
	if region, is := strings.CutPrefix(c.Identity.Group, "region/"); is {
		check(wire.RegionID(region) == c.Region,
			"the copy is of region %s, node %s is of region %s", region, c.Node, c.Region)
	} else {
		check(c.Identity.Group == seat.FederationGroup, "the copy is of group %q", c.Identity.Group)
	}
	return errors.Join(errs...)
}

// ErrRestoredOver is RestoreGroup's error for a directory that is there already, without Replace.
var ErrRestoredOver = errors.New("it is there already")

// RestoreGroup makes a group's part of a node's data directory of a copy. On return it is durable,
// and the node can be started on it. A directory that is there is not touched, unless Replace
// moves it aside, which comes last: a copy that cannot be read changes nothing. After a crash the
// node refuses what is left, and the same call with Replace begins anew. The directory must not be
// in use.
func RestoreGroup(c RestoreConfig) (err error) {
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if err := c.validate(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	d, err := datadir.Lock(c.Dir)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	// A fresh directory becomes the node's; another node's is refused.
	if err := d.ClaimFor(datadir.Owner{Format: datadir.Format, Federation: c.Identity.Federation,
		Region: c.Region, Node: c.Node}); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := restoreInto(d, &c); err != nil {
		return fmt.Errorf("restore %s: %w", c.Identity.Group, err)
	}
	return nil
}

func restoreInto(d *datadir.Dir, c *RestoreConfig) error {
	sub := "federation"
	if c.Identity.Group != seat.FederationGroup {
		sub = "region"
	}
	there := !datadir.Missing(d.Sub(sub))
	if there && !c.Replace {
		return fmt.Errorf("%s: %w", d.Sub(sub), ErrRestoredOver)
	}
	// A copy that turns out to be damaged leaves what is there as it is.
	making := d.Sub(sub + ".restoring")
	err := build(d, c, making)
	if err != nil {
		return errors.Join(err, c.FS.RemoveAll(making))
	}
	if there {
		aside, err := aside(d, sub)
		if err != nil {
			return err
		}
		if err := os.Rename(d.Sub(sub), aside); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(d.Sub(sub), 0o700); err != nil {
		return err
	}
	if err := c.FS.MkdirAll(d.Sub(sub), 0o700); err != nil { // of the state, if it is another one
		return err
	}
	if err := c.FS.Rename(filepath.Join(making, "state"), d.Sub(sub, "state")); err != nil {
		return err
	}
	if err := c.FS.RemoveAll(making); err != nil {
		return err
	}
	if err := syncDirOf(c.FS, d.Sub(sub)); err != nil {
		return err
	}
	if err := syncDirOf(c.FS, d.Sub()); err != nil {
		return err
	}
	return d.MarkRestored(sub)
}

// build makes the state in a directory beside where it will lie, and shows its map.
func build(d *datadir.Dir, c *RestoreConfig, making string) error {
	if err := c.FS.RemoveAll(making); err != nil { // of a restore that broke off
		return err
	}
	if err := c.FS.MkdirAll(making, 0o700); err != nil {
		return err
	}
	plan := c.Plan
	plan.Configuration = consensus.EncodeMembers([]consensus.Member{{Node: c.Founder,
		Voter: true}})
	cfg := store.Config{Dir: filepath.Join(making, "state"), FS: c.FS, Identity: c.Identity,
		Sync: c.Identity.Group == seat.FederationGroup}
	if err := store.Build(cfg, plan); err != nil {
		return err
	}
	if c.OnMap == nil || c.Identity.Group != seat.FederationGroup {
		return nil
	}
	m, err := federation.ReadMap(cfg)
	if err != nil {
		return err
	}
	return c.OnMap(m)
}

// aside is a name for a group's directory that is replaced.
func aside(d *datadir.Dir, sub string) (string, error) {
	for n := 1; n < 1000; n++ {
		if path := d.Sub(fmt.Sprintf("%s.replaced-%d", sub, n)); datadir.Missing(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("too many replaced directories beside %s", d.Sub(sub))
}

func syncDirOf(fs vfs.FS, path string) error {
	f, err := fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
