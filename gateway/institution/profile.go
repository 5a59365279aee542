package institution

import (
	"context"
	"errors"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// limitedProfile is the contract's LimitedProfile.
type limitedProfile struct {
	SenderAllowed      bool     `json:"sender_allowed"`
	PreferredLanguages []string `json:"preferred_languages,omitempty"`
}

func (c *call) profileByBody() error {
	code, err := c.profileCode()
	if err != nil {
		return err
	}
	return c.profile(code)
}

func (c *call) profileByPath() error {
	code, err := c.pathCode()
	if err != nil {
		return err
	}
	return c.profile(code)
}

// profileCode reads the body {"fiscal_code": …}.
func (c *call) profileCode() (fiscalcode.Code, error) {
	d := c.api.decoders.Get().(*decoder)
	defer func() { d.reset(); c.api.decoders.Put(d) }()
	body, err := c.ReadBody(d.body)
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
	if d.Enter("root", "GetLimitedProfileByPOSTPayload") {
		given := false
		for d.Member() {
			switch string(d.Name) {
			case "fiscal_code":
				given = true
				code = fiscalcode.Code(d.Text("fiscal_code", &fiscalCodeRule))
			default:
				d.Skip()
			}
		}
		if !given {
			d.Missing("fiscal_code", typeFiscalCode)
		}
		d.Leave()
	}
	return code, d.end(invalidPayload)
}

// profile runs the contract's checks, all of which come before anything is looked up, so that
// nobody can learn who is registered without the right to write to them.
func (c *call) profile(code fiscalcode.Code) error {
	if err := c.checkSource(); err != nil {
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
		return c.api.relay.SenderProfile(ctx, code, c.service.ID)
	})
	if errors.Is(err, wire.NotFound) {
		return profileNotFound
	}
	if err != nil {
		return relayFault(err)
	}
	return c.Answer(limitedProfile{SenderAllowed: p.Allowed, PreferredLanguages: p.Languages})
}
