package identity

import (
	"context"
	"time"
)

// Source is what identity providers publish and logins at them need: metadata, keys. It keeps the
// last good copy.
type Source interface {
	// Refresh fetches it again. An error names what could not be had, or not be read; it holds
	// nothing of a citizen's.
	Refresh(ctx context.Context) error
	// Expiries are what ends logins unless somebody renews it, the soonest first.
	Expiries() []Expiry
}

// Expiry is the end of something that logins need.
type Expiry struct {
	Provider string // the ID of its Info; empty: of all
	What     string
	At       time.Time
}
