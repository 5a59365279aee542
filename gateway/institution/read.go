package institution

import (
	"context"
	"errors"

	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/wire"
)

// messageAnswer is the contract's ExternalMessageResponse; rejection_reason is ours, for clients
// that ask for more than that.
type messageAnswer struct {
	Message         createdMessage `json:"message"`
	Status          string         `json:"status"`
	RejectionReason string         `json:"rejection_reason,omitempty"`
	ReadStatus      string         `json:"read_status,omitempty"`
}

type createdMessage struct {
	ID               string            `json:"id"`
	FiscalCode       string            `json:"fiscal_code"`
	CreatedAt        string            `json:"created_at"`
	SenderServiceID  string            `json:"sender_service_id"`
	TimeToLive       uint32            `json:"time_to_live"`
	FeatureLevelType string            `json:"feature_level_type"`
	Content          *contract.Content `json:"content,omitzero"`
}

func (c *call) readMessage() error {
	code, err := c.pathCode()
	if err != nil {
		return err
	}
	if err := c.checkSource(); err != nil {
		return err
	}
	// The contract takes any text for an id: one that never was an id is not found.
	id, err := wire.ParseMessageID(c.R.PathValue("id"))
	if err != nil {
		return messageNotFound
	}
	view, err := wait(c, func(ctx context.Context) (*wire.MessageView, error) {
		return c.api.relay.FindMessage(ctx, code, id)
	})
	if errors.Is(err, wire.NotFound) {
		return messageNotFound
	}
	if err != nil {
		return relayFault(err)
	}
	if view.Service != c.service.ID {
		return notSender
	}
	answer := messageAnswer{Status: view.Verdict.Status.String(), Message: createdMessage{
		ID: view.ID.String(), FiscalCode: string(code), CreatedAt: view.ID.Time().String(),
		SenderServiceID: string(view.Service), TimeToLive: view.TimeToLive,
		FeatureLevelType: view.FeatureLevel.String(), Content: contract.ContentOf(view.Content)}}
	c.tellVerdict(view.Verdict)
	if c.Prefers(PreferVerdict) && view.Verdict.Status == wire.Rejected {
		answer.RejectionReason = reason(view.Verdict)
	}
	if view.Verdict.Status == wire.Processed && view.FeatureLevel == wire.Advanced &&
		c.institution.HasScope(scopeMessageReadAdvanced) {
		answer.ReadStatus = readStatus(view)
	}
	return c.Answer(answer)
}

func readStatus(v *wire.MessageView) string {
	switch {
	case v.ReadHidden:
		return "UNAVAILABLE"
	case v.Read:
		return "READ"
	}
	return "UNREAD"
}
