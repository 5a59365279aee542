package federation

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/staffetta/staffetta/internal/store"
	"github.com/staffetta/staffetta/wire"
)

const (
	// group is the name of the federation's Raft group.
	group = "federation"
	// stateFormat is the version of the rows.
	stateFormat = 1
	// feedEventsDefault keeps some 3 MiB of changes, hours of logins, for gateways that come
	// back after a cut; one that was away for longer asks anew.
	feedEventsDefault = 1 << 16
)

// Config sets up a State.
type Config struct {
	// Store says where the state is kept. Its Sync and its identity but for the federation's
	// name are set here.
	Store  store.Config
	Hasher *wire.Hasher
	// FeedEvents is how many changes Feed remembers; 0: 65,536.
	FeedEvents int
	Logger     *slog.Logger // nil: discards
}

func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Hasher == nil {
		errs = append(errs, errors.New("no hasher"))
	} else {
		c.Store.Identity.Key = c.Hasher.Key().Fingerprint()
	}
	c.Store.Sync = true
	c.Store.Identity.Group = group
	c.Store.Identity.Format = stateFormat
	if c.FeedEvents == 0 {
		c.FeedEvents = feedEventsDefault
	}
	if c.FeedEvents < 0 {
		errs = append(errs, fmt.Errorf("%d events to remember", c.FeedEvents))
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Store.Logger == nil {
		c.Store.Logger = c.Logger
	}
	return c, errors.Join(errs...)
}
