package seat

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/staffetta/staffetta/node/datadir"
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

// Contact remembers when something was last heard, by a clock that nobody sets and that goes on
// while the machine is suspended.
type Contact struct {
	// Set at construction.
	uptime func() time.Duration

	mu sync.Mutex
	at time.Duration // guarded by mu; may be negative
}

// LongAgo is further back than anything that is waited for.
const LongAgo = 10 * 365 * 24 * time.Hour

// NewContact begins with a contact that was so long ago.
func NewContact(uptime func() time.Duration, ago time.Duration) *Contact {
	return &Contact{uptime: uptime, at: uptime() - ago}
}

// OpenContact reads when the federation was last heard: keys of services are believed for a time
// after it, which restarts must not stretch. A node that never wrote it begins now.
func (s *Seat) OpenContact() error {
	s.contact = NewContact(s.Uptime, 0)
	s.fresh = fresh{contact: NewContact(s.Uptime, LongAgo), began: s.Uptime()}
	b, err := s.Dir.Read(contactFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !s.Dir.IsFounded():
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	at, sound := datadir.Unsealed(b)
	if len(b) == contactBytes { // of a program that did not seal it
		at, sound = b, true
	}
	if !sound || len(at) != contactBytes {
		// Half a disk's worth of damage is no reason to trust old keys for longer.
		s.Log.Warn("the time of the last contact with the federation is lost: keys of services "+
			"are believed when it is heard again", "file", s.Dir.Sub(contactFile), "bytes", len(b))
		s.contact = NewContact(s.Uptime, LongAgo)
		return nil
	}
	// A clock that was set back in between must not make the contact younger than the process.
	if away := s.Now().Sub(wire.Time(binary.LittleEndian.Uint64(at))); away > 0 {
		s.contact = NewContact(s.Uptime, away)
	}
	return nil
}

// Since is how long ago the contact was.
func (c *Contact) Since() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uptime() - c.at
}

// Note takes a contact that was so long ago, if it is news.
func (c *Contact) Note(ago time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = max(c.at, c.uptime()-ago)
}

// FederationContact is how long ago this node last heard from the federation's leader, restarts
// included; 0 on the leader. Before the first time it is the age of the data directory's first
// process.
func (s *Seat) FederationContact() time.Duration {
	if s.FederationGroup.IsLeader() {
		s.contact.Note(0)
		return 0
	}
	if silent := s.FederationGroup.LastContact(); silent >= 0 {
		s.contact.Note(silent)
	}
	return s.contact.Since()
}

// KeepContact notes the contact, and writes it down from time to time and at the end.
func (s *Seat) KeepContact(ctx context.Context) error {
	tick := time.NewTicker(contactPeriod)
	defer tick.Stop()
	var written time.Time
	for {
		silent := s.FederationContact()
		if silent < contactWritePeriod && time.Since(written) >= contactWritePeriod {
			s.writeContact(silent)
			written = time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.writeContact(s.FederationContact())
			return nil
		}
	}
}

// writeContact is best effort: a disk that takes no byte stops the node elsewhere.
func (s *Seat) writeContact(ago time.Duration) {
	at := s.Now().Add(-ago)
	err := datadir.WriteSynced(s.Dir.Path, contactFile,
		datadir.Sealed(binary.LittleEndian.AppendUint64(nil, uint64(at))))
	if err != nil {
		s.Log.Warn("the time of the last contact with the federation was not written",
			"reason", err.Error())
	}
}

// ContactMax is the silence of the federation's leader after which a node says so.
const ContactMax = 10 * time.Second
