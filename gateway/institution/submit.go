package institution

import (
	"context"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// contentBytesMax leaves room in a record for everything that is not content. Only third-party
// data and front matter can come near it.
const contentBytesMax = wire.RecordBytesMax - 1<<10

func (c *call) submitByBody() error { return c.submit(false) }

func (c *call) submitByPath() error { return c.submit(true) }

// submit runs the contract's checks in their order, then has the owner decide.
func (c *call) submit(inPath bool) error {
	rec, err := c.requested(inPath)
	if err != nil {
		return err
	}
	return c.decide(rec)
}

// requested makes the record that the request asks for. It shares no memory with the decoder,
// which goes back before the owner is asked: that may take seconds.
func (c *call) requested(inPath bool) (*wire.Record, error) {
	d := c.api.decoders.Get().(*decoder)
	defer func() { d.reset(); c.api.decoders.Put(d) }()
	body, err := c.ReadBody(d.body)
	if err != nil {
		return nil, err
	}
	d.body = body
	m := &d.message
	if err := d.decodeMessage(m); err != nil {
		return nil, err
	}
	var code fiscalcode.Code
	if inPath {
		if code, err = c.pathCode(); err != nil {
			return nil, err
		}
	}
	key, err := headerKey(c.R)
	if err == nil {
		key, err = oneKey(key, m.key)
	}
	if err != nil {
		return nil, err
	}
	return c.record(m, code, key, c.checkSource())
}

// record makes the record of a message that is well-formed, and checks what else it must keep.
// code is the recipient in the path, if any, key the idempotency key, if any, source the verdict
// on the client's address. The record shares no memory with the message.
func (c *call) record(m *newMessage, code fiscalcode.Code, key string, source error) (
	*wire.Record, error) {
	code, err := c.checkMessage(m, code, source)
	if err == nil {
		err = c.checkUnserved(m)
	}
	if err != nil {
		return nil, err
	}
	if pay := m.content.Payment; pay != nil && !m.payeeGiven {
		pay.Payee = c.service.Institution
	}
	content := codec.Marshal(make([]byte, 0, m.sizeHint()), &m.content)
	if len(content) > contentBytesMax {
		return nil, problem.BodyTooLarge.With("The message's content is too large.")
	}
	rec := &wire.Record{ID: c.api.relay.NewID(), Service: c.service.ID, FiscalCode: code,
		TimeToLive: m.timeToLive, FeatureLevel: m.level, Content: content}
	if key != "" {
		rec.Idempotency = wire.IdempotencyOf(c.service.ID, key)
		rec.Digest = rec.Canonical(c.hasher.Recipient(code), key)
	}
	return rec, nil
}

// checkMessage makes the checks that a well-formed message must pass, and returns its recipient.
func (c *call) checkMessage(m *newMessage, code fiscalcode.Code, source error) (
	fiscalcode.Code, error) {
	if err := c.payloadScopes(m); err != nil {
		return "", err
	}
	if source != nil {
		return "", source
	}
	switch {
	case code != "" && m.fiscalCode != "":
		return "", badParameters.With(detailBothPlaces)
	case code == "" && m.fiscalCode == "":
		return "", badParameters.With(detailNoPlace)
	case code == "":
		code = m.fiscalCode
	}
	if third := m.content.ThirdParty; third != nil {
		if err := c.checkConfiguration(m); err != nil {
			return "", err
		}
		if third.HasAttachments && m.level == wire.Standard {
			return "", attachmentsForbidden
		}
	}
	if c.institution.HasScope(scopeLimitedMessageWrite) && !c.authorizes(code) {
		return "", recipientForbidden
	}
	pay, max := m.content.Payment, c.service.MaxAllowedPaymentAmount
	if pay != nil && pay.Amount > max {
		return "", amountOver(pay.Amount, max)
	}
	return code, nil
}

// payloadScopes requires the scopes that parts of a message need.
func (c *call) payloadScopes(m *newMessage) error {
	for _, need := range []struct {
		used   bool
		scope  string
		detail string
	}{
		{m.content.EUCovidCert != nil, scopeWriteEUCovidCert, "an EUCovidCert message"},
		{m.payeeGiven, scopeWriteWithPayee, "a payment message with payee"},
		{m.level == wire.Advanced, scopeMessageWriteAdvanced, "a Premium message"},
		{m.level == wire.Standard && m.content.ThirdParty != nil, scopeThirdPartyWrite,
			"a third party message"},
	} {
		if need.used && !c.institution.HasScope(need.scope) {
			return scopeMissing.With("You do not have enough permissions to send " + need.detail)
		}
	}
	return nil
}

// decide hands the record to its owner and answers the verdict.
func (c *call) decide(rec *wire.Record) error {
	code := rec.FiscalCode // the record is the relay's from here on
	out, err := wait(c, func(ctx context.Context) (wire.Outcome, error) {
		return c.api.relay.Submit(ctx, rec, c.institution.ID)
	})
	if err := undecided(out, err); err != nil {
		return err
	}
	c.api.stats.verdict(out.Verdict)
	id := out.ID.String()
	c.tellVerdict(out.Verdict)
	answer := append(append(make([]byte, 0, 128), `{"id":"`...), id...)
	answer = append(answer, '"')
	if c.Prefers(PreferVerdict) {
		answer = appendVerdict(answer, out.Verdict)
	}
	c.W.Header().Set("Location", "/api/v1/messages/"+string(code)+"/"+id)
	return c.AnswerJSON(append(answer, '}'))
}

// undecided says why there is no verdict in what the relay returned; nil when there is one.
func undecided(out wire.Outcome, err error) error {
	switch {
	case err != nil:
		return relayFault(err)
	case out.Kind == wire.KeyConflict:
		return keyConflict
	case out.Kind != wire.Decided:
		return wire.Errorf(wire.Internal, "outcome of kind %d", out.Kind)
	}
	return nil
}
