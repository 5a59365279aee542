package citizen

import (
	"errors"

	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/wire"
)

// accessState is the contract's SessionState.
type accessState struct {
	AccessEnabled bool        `json:"access_enabled"`
	SessionInfo   sessionInfo `json:"session_info"`
}

type sessionInfo struct {
	Active         bool   `json:"active"`
	ExpirationDate string `json:"expiration_date,omitzero"`
}

// getAccess tells whether the citizen has locked access, and until when this session is.
func (c *call) getAccess() error {
	var s wire.Session
	if err := c.ask(wire.MethodGetSession, &wire.SessionRef{Token: c.token}, &s); err != nil {
		return err
	}
	var state wire.AccessState
	err := c.ask(wire.MethodAccessState, &wire.SessionRef{Token: c.token}, &state)
	if err != nil && !errors.Is(err, wire.UnknownKind) { // before there were locks
		return err
	}
	return c.Answer(accessState{AccessEnabled: !state.Locked,
		SessionInfo: sessionInfo{Active: true, ExpirationDate: s.End().String()}})
}

// lockAccess ends all sessions of the citizen, and bars logins below level 3.
func (c *call) lockAccess() error {
	code, err := c.unlockCode(true)
	if err != nil {
		return err
	}
	proof, err := c.prove(code)
	if err != nil {
		return err
	}
	err = c.ask(wire.MethodLockAccess, &wire.LockAccess{Token: c.token, Proof: proof}, nil)
	if err != nil {
		return err
	}
	return c.AnswerNothing()
}

// unlockAccess opens the lock, under a session of level 3, or with the code.
func (c *call) unlockAccess() error {
	code, err := c.unlockCode(false)
	if err != nil {
		return err
	}
	ask := &wire.UnlockAccess{Token: c.token}
	if code != "" {
		if ask.Proof, err = c.prove(code); err != nil {
			return err
		}
	}
	var state wire.AccessState
	if err := c.ask(wire.MethodUnlockAccess, ask, &state); err != nil {
		return err
	}
	if state.Locked {
		return refuse(problemLocked, "Neither the session's level nor the code unlocks access.")
	}
	return c.AnswerNothing()
}

// unlockCode reads the body {unlock_code}.
func (c *call) unlockCode(required bool) (string, error) {
	o, err := c.object()
	if err != nil {
		return "", err
	}
	code := o.Text("unlock_code", "code of nine digits", required, session.ValidUnlockCode)
	return code, bodyProblem(o.Err())
}

// prove makes the proof of a code, for the session's citizen. It takes a tenth of a second of a
// processor, so it is made under a session only.
func (c *call) prove(code string) (p wire.Proof, err error) {
	var s wire.Session
	if err := c.ask(wire.MethodGetSession, &wire.SessionRef{Token: c.token}, &s); err != nil {
		return p, err
	}
	return session.Prove(c.R.Context(), code, c.api.relay.Hasher().Recipient(s.FiscalCode))
}
