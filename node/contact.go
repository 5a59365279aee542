package node

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/staffetta/staffetta/wire"
)

const (
	contactFile  = "contact"
	contactBytes = 8 // before its checksum
	// contactPeriod is how often the time of the last contact is noted, contactWritePeriod how
	// often it is written: a restart makes a node at most that much younger than it is.
	contactPeriod      = time.Second
	contactWritePeriod = time.Minute
)

// contact remembers when something was last heard, by a clock that nobody sets and that goes on
// while the machine is suspended.
type contact struct {
	// Set at construction.
	uptime func() time.Duration

	mu sync.Mutex
	at time.Duration // guarded by mu; may be negative
}

// longAgo is further back than anything that is waited for.
const longAgo = 10 * 365 * 24 * time.Hour

// newContact begins with a contact that was so long ago.
func newContact(uptime func() time.Duration, ago time.Duration) *contact {
	return &contact{uptime: uptime, at: uptime() - ago}
}

// openContact reads when the federation was last heard: keys of services are believed for a time
// after it, which restarts must not stretch. A node that never wrote it begins now.
func (n *Node) openContact() error {
	n.contact, n.deals = newContact(n.cfg.Uptime, 0), newContact(n.cfg.Uptime, longAgo)
	b, err := n.dir.read(contactFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && missing(n.dir.sub(foundedFile)):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	at, sound := unsealed(b)
	if len(b) == contactBytes { // of a program that did not seal it
		at, sound = b, true
	}
	if !sound || len(at) != contactBytes {
		// Half a disk's worth of damage is no reason to trust old keys for longer.
		n.log.Warn("the time of the last contact with the federation is lost: keys of services "+
			"are believed when it is heard again", "file", n.dir.sub(contactFile), "bytes", len(b))
		n.contact = newContact(n.cfg.Uptime, longAgo)
		return nil
	}
	// A clock that was set back in between must not make the contact younger than the process.
	if away := n.clockNow().Sub(wire.Time(binary.LittleEndian.Uint64(at))); away > 0 {
		n.contact = newContact(n.cfg.Uptime, away)
	}
	return nil
}

// since is how long ago the contact was.
func (c *contact) since() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uptime() - c.at
}

// note takes a contact that was so long ago, if it is news.
func (c *contact) note(ago time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = max(c.at, c.uptime()-ago)
}

// federationContact is how long ago this node last heard from the federation's leader, restarts
// included; 0 on the leader. Before the first time it is the age of the data directory's first
// process.
func (n *Node) federationContact() time.Duration {
	if n.federationGroup.IsLeader() {
		n.contact.note(0)
		return 0
	}
	if silent := n.federationGroup.LastContact(); silent >= 0 {
		n.contact.note(silent)
	}
	return n.contact.since()
}

// keepContact notes the contact, and writes it down from time to time and at the end.
func (n *Node) keepContact(ctx context.Context) error {
	tick := time.NewTicker(contactPeriod)
	defer tick.Stop()
	var written time.Time
	for {
		silent := n.federationContact()
		if silent < contactWritePeriod && time.Since(written) >= contactWritePeriod {
			n.writeContact(silent)
			written = time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			n.writeContact(n.federationContact())
			return nil
		}
	}
}

// writeContact is best effort: a disk that takes no byte stops the node elsewhere.
func (n *Node) writeContact(ago time.Duration) {
	at := n.clockNow().Add(-ago)
	err := writeSynced(n.dir.path, contactFile,
		sealed(binary.LittleEndian.AppendUint64(nil, uint64(at))))
	if err != nil {
		n.log.Warn("the time of the last contact with the federation was not written",
			"reason", err.Error())
	}
}
