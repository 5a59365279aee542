package institution

import (
	"context"
	"errors"
	"net/http"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// profileBodyBytesMax is ample for one fiscal code; unknown members are tolerated within it.
const profileBodyBytesMax = 16 << 10

// limitedProfile is the contract's LimitedProfile.
type limitedProfile struct {
	SenderAllowed      bool     `json:"sender_allowed"`
	PreferredLanguages []string `json:"preferred_languages,omitempty"`
}

func (a *API) profileByBody(c *call) error {
	if err := c.needScope(scopeLimitedProfileRead); err != nil {
		return err
	}
	code, err := a.profileCode(c)
	if err != nil {
		return err
	}
	return a.profile(c, code)
}

func (a *API) profileByPath(c *call) error {
	if err := c.needScope(scopeLimitedProfileRead); err != nil {
		return err
	}
	code, err := c.pathCode()
	if err != nil {
		return err
	}
	return a.profile(c, code)
}

// profileCode reads the body {"fiscal_code": …}.
func (a *API) profileCode(c *call) (fiscalcode.Code, error) {
	d := a.decoders.Get().(*decoder)
	defer func() { d.reset(); a.decoders.Put(d) }()
	body, err := problem.ReadBody(c.w, c.r, d.body, profileBodyBytesMax)
	if err != nil {
		return "", err
	}
	d.body = body
	return d.decodeProfile()
}

// decodeProfile reads the body of POST /profiles.
func (d *decoder) decodeProfile() (fiscalcode.Code, error) {
	if err := d.begin(); err != nil {
		return "", err
	}
	var code fiscalcode.Code
	if d.enter("root", "GetLimitedProfileByPOSTPayload") {
		given := false
		for d.member() {
			switch string(d.name) {
			case "fiscal_code":
				given = true
				code = fiscalcode.Code(d.text("fiscal_code", &fiscalCodeRule))
			default:
				d.skip()
			}
		}
		if !given {
			d.missing("fiscal_code", typeFiscalCode)
		}
		d.leave()
	}
	err := d.end()
	var p problem.Problem
	if errors.As(err, &p) && p.Type == invalidMessage.Type {
		return "", invalidPayload.With(p.Detail)
	}
	return code, err
}

// profile runs the contract's checks, all of which come before anything is looked up, so that
// nobody can learn who is registered without the right to write to them.
func (a *API) profile(c *call, code fiscalcode.Code) error {
	if err := a.checkSource(c); err != nil {
		return err
	}
	limited := c.institution.HasScope(scopeLimitedMessageWrite)
	switch {
	case !limited && !c.institution.HasScope(scopeMessageWrite):
		return recipientForbidden
	case (limited || !c.service.QualityComplete()) && !c.authorizes(code):
		return recipientForbidden
	}
	p, err := wait(c, func(ctx context.Context) (*wire.SenderProfile, error) {
		return a.relay.SenderProfile(ctx, code, c.service.ID)
	})
	if errors.Is(err, wire.NotFound) {
		return profileNotFound
	}
	if err != nil {
		return relayFault(err)
	}
	problem.WriteJSON(c.w, http.StatusOK,
		limitedProfile{SenderAllowed: p.Allowed, PreferredLanguages: p.Languages})
	return nil
}
