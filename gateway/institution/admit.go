package institution

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/staffetta/staffetta/gateway/operation"
	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// KeyHeader carries the service's subscription key.
const KeyHeader = "Ocp-Apim-Subscription-Key"

// The contract's groups that this API knows. They belong to the institution.
const (
	scopeMessageWrite         = "ApiMessageWrite"
	scopeLimitedMessageWrite  = "ApiLimitedMessageWrite" // wins over scopeMessageWrite
	scopeMessageRead          = "ApiMessageRead"
	scopeMessageReadAdvanced  = "ApiMessageReadAdvanced"
	scopeMessageWriteAdvanced = "ApiMessageWriteAdvanced"
	scopeThirdPartyWrite      = "ApiThirdPartyMessageWrite"
	scopeWriteWithPayee       = "ApiMessageWriteWithPayee"
	scopeWriteEUCovidCert     = "ApiMessageWriteEUCovidCert"
	scopeLimitedProfileRead   = "ApiLimitedProfileRead"
	scopeNoRateLimit          = "ApiNoRateLimit"
	scopeRateLimit250         = "ApiRateLimit250"
)

// knownScope reports whether a group is one of the contract's. The rate groups and
// ApiRemoteContentConfigurationWrite are not: alone, they let nobody in.
func knownScope(s string) bool {
	switch s {
	case scopeMessageWrite, scopeLimitedMessageWrite, scopeMessageRead, scopeMessageReadAdvanced,
		scopeMessageWriteAdvanced, scopeThirdPartyWrite, scopeWriteWithPayee,
		scopeWriteEUCovidCert, scopeLimitedProfileRead, "ApiMessageWriteWithLegalData",
		"ApiMessageWriteDefaultAddress", "ApiSubscriptionsFeedRead", "ApiServiceRead",
		"ApiServiceWrite", "ApiServiceList", "ApiInfoRead":
		return true
	}
	return false
}

// call is one request on its way through the checks.
type call struct {
	operation.Call
	api         *API
	service     *wire.Service
	institution *wire.Institution
	hasher      *wire.Hasher
	waited      time.Duration // for the relay, so far
	unserved    string        // parts of the message that nothing here can serve
}

// waitedLittle is what a look-up in a cache is far below, and no client notices.
const waitedLittle = 10 * time.Millisecond

// wait calls f with a context that ends when the request's time is used up: an owner that is
// away costs five seconds, whatever else was asked before. The relay ends each call after that
// time by itself, so a timer is set only for what comes after another wait.
func wait[T any](c *call, f func(context.Context) (T, error)) (T, error) {
	ctx := c.R.Context()
	if c.waited > waitedLittle {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wire.OwnerWait-c.waited)
		defer cancel()
	}
	began := time.Now()
	v, err := f(ctx)
	c.waited += time.Since(began)
	return v, err
}

// admit checks key and rate, and what else the operation asks of who calls.
func (c *call) admit() error {
	keys := c.R.Header[KeyHeader]
	if len(keys) == 0 || keys[0] == "" {
		return keyMissing
	}
	access, err := wait(c, func(ctx context.Context) (*wire.ServiceAccess, error) {
		return c.api.relay.ServiceByKey(ctx, wire.HashKey(keys[0]))
	})
	if errors.Is(err, wire.NotFound) {
		return keyInvalid
	}
	if err != nil {
		return relayFault(err)
	}
	c.service, c.institution = &access.Service, &access.Institution
	left := c.api.rates.take(c.institution)
	left.tell(c.W.Header(), c.api.rates.window)
	if left.refused {
		return left.refusal()
	}
	if c.hasher = c.api.relay.Hasher(); c.hasher == nil {
		return wire.Errorf(wire.NotReady, "no directory key yet")
	}
	if c.Op.Metered {
		if _, ok := c.api.capacity.take(c.institution.ID, 0); !ok {
			return overCapacity
		}
	}
	return c.checkScopes()
}

// refuse answers err.
func (c *call) refuse(err error) {
	var g gatewayRefusal
	if errors.As(err, &g) {
		if g.Status == http.StatusUnauthorized {
			c.W.Header().Set("WWW-Authenticate", `ApiKey name="`+KeyHeader+`", in="header"`)
		}
		c.api.stats.refusals.WithLabelValues(string(g.Type)).Inc()
		g.write(c.W, c.R)
		return
	}
	p := problem.From(err)
	if p.Status == http.StatusInternalServerError {
		c.api.log.LogAttrs(c.R.Context(), slog.LevelError, "call failed",
			slog.String("operation", c.R.Pattern), slog.String("problem", string(p.Type)),
			slog.String("code", wire.AsError(err).Code.String()))
	}
	c.api.stats.refusals.WithLabelValues(string(p.Type)).Inc()
	problem.Write(c.W, p)
}

// relayFault is an error of the relay on a call that was well-formed: the client may learn that
// it should try again, or that the fault is ours.
func relayFault(err error) error {
	switch p := problem.FromWire(err); p.Status {
	case http.StatusServiceUnavailable, http.StatusRequestEntityTooLarge:
		return p
	}
	return &wire.Error{Code: wire.Internal}
}

// checkScopes requires one of the operation's scopes.
func (c *call) checkScopes() error {
	if c.Op.Bars != "" && c.institution.HasScope(c.Op.Bars) {
		return scopeMissing
	}
	if len(c.Op.Scopes) == 0 {
		return nil
	}
	if !slices.ContainsFunc(c.institution.Scopes, knownScope) {
		return noValidScope
	}
	if !slices.ContainsFunc(c.Op.Scopes, c.institution.HasScope) {
		return scopeMissing
	}
	return nil
}

// checkSource requires a client address that the service has authorized.
func (c *call) checkSource() error {
	if len(c.service.AuthorizedCIDRs) == 0 {
		return nil
	}
	addr, ok := c.api.clientAddr(c.R)
	if !ok {
		return addressUnknown
	}
	if !inRanges(addr, c.service.AuthorizedCIDRs) {
		return sourceForbidden.With("The service does not allow calls from the address " +
			addr.String() + ".")
	}
	return nil
}

// pathCode reads the fiscal code in the path.
func (c *call) pathCode() (fiscalcode.Code, error) {
	code, err := fiscalcode.Parse(c.R.PathValue("fiscal_code"))
	if err != nil {
		return "", invalidFiscalCode
	}
	return code, nil
}

// authorizes reports whether the recipient is one of the service's authorized ones, as the
// contract's test citizen is of every service.
func (c *call) authorizes(code fiscalcode.Code) bool {
	return code == contract.Sandbox || c.service.Authorizes(c.hasher.Recipient(code))
}
