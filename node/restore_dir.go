package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/consensus"
	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/node/federation"
	"github.com/staffetta/staffetta/wire"
)

// restoredFile lies in a group's directory from a restore on until the group has begun: its state
// has no log that leads up to it.
const restoredFile = "restored"

// replica is a group's state as a node opens it.
type replica interface {
	consensus.StateMachine
	// Incarnation counts how often the group was restored from a backup.
	Incarnation() uint32
}

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
		check(wire.RegionID(region) == c.Region, "the copy is of region %s, node %s is of region %s",
			region, c.Node, c.Region)
	} else {
		check(c.Identity.Group == federationGroup, "the copy is of group %q", c.Identity.Group)
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
	d, err := lockDataDir(c.Dir)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer func() { err = errors.Join(err, d.close()) }()
	// A fresh directory becomes the node's; another node's is refused.
	if err := d.ownedBy(owner{Format: ownerFormat, Federation: c.Identity.Federation,
		Region: c.Region, Node: c.Node}); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := d.restore(&c); err != nil {
		return fmt.Errorf("restore %s: %w", c.Identity.Group, err)
	}
	return nil
}

func (d *dataDir) restore(c *RestoreConfig) error {
	sub := "federation"
	if c.Identity.Group != federationGroup {
		sub = "region"
	}
	there := !missing(d.sub(sub))
	if there && !c.Replace {
		return fmt.Errorf("%s: %w", d.sub(sub), ErrRestoredOver)
	}
	// A copy that turns out to be damaged leaves what is there as it is.
	making := d.sub(sub + ".restoring")
	err := d.build(c, making)
	if err != nil {
		return errors.Join(err, c.FS.RemoveAll(making))
	}
	if there {
		aside, err := d.aside(sub)
		if err != nil {
			return err
		}
		if err := os.Rename(d.sub(sub), aside); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(d.sub(sub), 0o700); err != nil {
		return err
	}
	if err := c.FS.MkdirAll(d.sub(sub), 0o700); err != nil { // of the state, if it is another one
		return err
	}
	if err := c.FS.Rename(filepath.Join(making, "state"), d.sub(sub, "state")); err != nil {
		return err
	}
	if err := c.FS.RemoveAll(making); err != nil {
		return err
	}
	if err := syncDirOf(c.FS, d.sub(sub)); err != nil {
		return err
	}
	if err := syncDirOf(c.FS, d.sub()); err != nil {
		return err
	}
	return writeSynced(d.sub(sub), restoredFile, nil)
}

// build makes the state in a directory beside where it will lie, and shows its map.
func (d *dataDir) build(c *RestoreConfig, making string) error {
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
		Sync: c.Identity.Group == federationGroup}
	if err := store.Build(cfg, plan); err != nil {
		return err
	}
	if c.OnMap == nil || c.Identity.Group != federationGroup {
		return nil
	}
	m, err := federation.ReadMap(cfg)
	if err != nil {
		return err
	}
	return c.OnMap(m)
}

// aside is a name for a group's directory that is replaced.
func (d *dataDir) aside(sub string) (string, error) {
	for n := 1; n < 1000; n++ {
		if path := d.sub(fmt.Sprintf("%s.replaced-%d", sub, n)); missing(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("too many replaced directories beside %s", d.sub(sub))
}

// restored reports whether a group begins from a backup now.
func (d *dataDir) restored(sub string) bool { return !missing(d.sub(sub, restoredFile)) }

// begun notes that a restored group has begun: from here on its log is as needed as any.
func (d *dataDir) begun(sub string) error {
	err := os.Remove(d.sub(sub, restoredFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return syncDir(d.sub(sub))
}

func syncDirOf(fs vfs.FS, path string) error {
	f, err := fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
