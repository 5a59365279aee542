package seat

import (
	"context"
	"fmt"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// Administrate proposes an operator's change to the federation group, when this node leads it.
// The same log entry gets a line of the audit: who, action in the words of the command line
// ("service put"), the subject that m names with AuditSubject, and what became of it. An error is
// the proposal's, or says why the change was refused; the line is there only for the second.
// Neither action nor subject may hold a fiscal code or a key. What needs a second operator is
// not done: see RequireSecond.
func (s *Seat) Administrate(ctx context.Context, from link.Identity, action string,
	kind wire.CommandKind, m codec.Message) (wire.Result, error) {
	if from.Role != link.RoleOperator {
		return wire.Result{}, wire.Errorf(wire.Forbidden, "%s is not for a %s", action, from.Role)
	}
	if err := s.CheckFederates(); err != nil {
		return wire.Result{}, err
	}
	// Without a majority nothing is logged: it would be carried out whenever there is one again,
	// when nobody may want it any more. After this only what is lost within a round trip can be.
	if err := s.FederationGroup.Read(ctx); err != nil {
		return wire.Result{}, err
	}
	if err := s.RequireSecond(ctx, from, action, kind, m); err != nil {
		return wire.Result{}, err
	}
	return s.logAudited(ctx, from, action, kind, m)
}

// logAudited is Administrate once nothing is left to look at.
func (s *Seat) logAudited(ctx context.Context, from link.Identity, action string,
	kind wire.CommandKind, m codec.Message) (wire.Result, error) {
	audited := wire.Audited{Operator: from.String(), Action: action, Subject: s.auditSubject(m),
		Command: wire.Command{Kind: kind, Body: wire.Encode(m)}, Approval: approval(ctx)}
	if end, ok := ctx.Deadline(); ok && s.Federation.ActiveVersion() >= wire.VersionWithdrawn {
		audited.Deadline = wire.TimeOf(end)
	}
	command := wire.Command{Kind: wire.CmdAudit, Body: wire.Encode(&audited)}
	if versionOf(&command) > s.Federation.ActiveVersion() {
		command = audited.Command // members with an older program know no audit yet
	}
	if err := Gate([]wire.Command{command}, s.Federation.ActiveVersion()); err != nil {
		// An operator is told at once, where a duty would wait.
		return wire.Result{}, wire.Errorf(wire.Conflict, "%s", wire.AsError(err).Detail)
	}
	results, err := s.FederationQueue.Submit(ctx, []wire.Command{command})
	switch {
	case err != nil:
		return wire.Result{}, err
	case len(results) != 1:
		return wire.Result{}, fmt.Errorf("%d results of one command", len(results))
	case results[0].Err != nil:
		return results[0], results[0].Err
	}
	return results[0], nil
}

// auditSubject is what a change is done to, as the audit shows it: for some by the map of before
// it.
func (s *Seat) auditSubject(m codec.Message) string {
	switch a := m.(type) {
	case interface{ AuditSubjectOn(*wire.Map) string }:
		return a.AuditSubjectOn(s.Map())
	case interface{ AuditSubject() string }:
		return a.AuditSubject()
	}
	return ""
}
