package web

import (
	"context"
	"errors"
	"log/slog"

	"github.com/staffetta/staffetta/gateway/citizen"
	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/wire"
)

const (
	// formBytesMax bounds what a form posts: a few short fields.
	formBytesMax = 16 << 10
	// pageSize is how many messages a list shows: what fits three screens of a phone.
	pageSize = 25
)

// Config of the pages.
type Config struct {
	Relay    Relay        // required
	Citizens *citizen.API // required: what it serves to clients, the pages show
	// TestLogin shows a form for the test login, which Citizens has enabled.
	TestLogin bool
	// Providers are those that a citizen may choose among, in the order in which they are shown.
	Providers []identity.Info
	// Contact is whom citizens can write to, https://… or mailto:…. "": nobody is named.
	Contact string
	Logger  *slog.Logger // default: none
}

// Relay is the way to the regions: a *route.Router.
type Relay interface {
	session.Relay
	// Hasher is nil until the gateway has met its federation. Until then no page has content.
	Hasher() *wire.Hasher
	Regions() []wire.Region
	ServiceByID(ctx context.Context, id wire.ServiceID) (*wire.ServiceAccess, error)
}

func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Relay == nil {
		errs = append(errs, errors.New("web: no relay"))
	}
	if c.Citizens == nil {
		errs = append(errs, errors.New("web: no citizens' API"))
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(errs...)
}
