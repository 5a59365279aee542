package virtual

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/testcluster"
	"github.com/staffetta/staffetta/wire"
)

// Token is the session token of a citizen in these worlds: its hash is the code's.
func Token(code fiscalcode.Code) wire.TokenHash { return sha256.Sum256([]byte(code)) }

// Login logs a citizen in at a region, which claims the code when nobody has.
func (g *Gateway) Login(ctx context.Context, region wire.RegionID, code fiscalcode.Code) error {
	now := wire.TimeOf(time.Now())
	return g.CallRegion(ctx, region, wire.MethodLogin, &wire.Login{Session: wire.Session{
		Token: Token(code), FiscalCode: code, Name: "Prova", FamilyName: "Di Prova",
		CreatedAt: now, ExpiresAt: now.Add(30 * 24 * time.Hour)}}, new(wire.Session))
}

// Activate logs a citizen in and accepts the terms.
func (g *Gateway) Activate(ctx context.Context, region wire.RegionID,
	code fiscalcode.Code) error {
	if err := g.Login(ctx, region, code); err != nil {
		return err
	}
	return g.SetProfile(ctx, region, code, wire.ProfileUpdate{AcceptedTos: 1, SetMode: true,
		Mode: wire.Auto})
}

// SetProfile updates a profile at the version that the update names.
func (g *Gateway) SetProfile(ctx context.Context, region wire.RegionID, code fiscalcode.Code,
	u wire.ProfileUpdate) error {
	return g.CallRegion(ctx, region, wire.MethodSetProfile,
		&wire.SetProfile{Token: Token(code), Update: u}, new(wire.Profile))
}

// Institution is whose the messages are.
const Institution = wire.InstitutionID("01234567890")

// Message is a whole record for a citizen.
func (g *Gateway) Message(code fiscalcode.Code) *wire.Record {
	return &wire.Record{ID: g.NewID(), Service: "SERVICE", FiscalCode: code, TimeToLive: 3600,
		Content: wire.Encode(&wire.Content{Subject: "Un avviso di prova",
			Markdown: "Questo avviso è scritto per una prova e non chiede nulla a nessuno."})}
}

// Send submits one message and notes it in the history.
func (g *Gateway) Send(ctx context.Context, h *testcluster.History, code fiscalcode.Code) error {
	rec := g.Message(code)
	s := h.Begin(rec.ID, g.Hasher().Recipient(code))
	outcome, err := g.Submit(ctx, rec, Institution)
	switch {
	case err == nil && outcome.Kind == wire.Decided && outcome.ID == rec.ID:
		h.Acknowledge(s, outcome.Verdict)
		return nil
	case err == nil:
		return errors.New("the outcome is not the message's")
	}
	return err
}
