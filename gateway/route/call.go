package route

import (
	"context"
	"errors"

	"github.com/staffetta/staffetta/internal/asof"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/trail"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// CallRegion makes a call to a region's leader and decodes its answer into resp, which may be
// nil. It finds the leader and goes on until ctx ends, at most OwnerWait when ctx has no
// deadline. Errors are the leader's own; Unavailable when surely nothing was appended;
// OutcomeUnknown when something may have been. resp aliases nothing of the caller's. Where ctx
// allows it (package asof), a read without a leader is answered by a node of the region from what
// it has, which the mark of ctx is told.
func (r *Router) CallRegion(ctx context.Context, region wire.RegionID, m wire.Method,
	req, resp codec.Message) error {
	if _, err := r.known(); err != nil {
		return err
	}
	o := r.owner(region)
	if o == nil {
		return wire.Errorf(wire.NotFound, "the map has no region %q", region)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.cfg.OwnerWait)
		defer cancel()
	}
	c := link.Ask{Method: m, Req: wire.Encode(req), Again: m.Repeatable(),
		Wait: link.AttemptWait, Failed: r.stats.failed}
	switch m {
	case wire.MethodLogin, wire.MethodOpenSession:
		c.Wait = 0 // a first login claims the code, with two other groups to ask
	case wire.MethodAskRenewal:
		c.Wait = 0 // somebody else decides, and the leader keeps the question meanwhile
	}
	var answer []byte
	var err error
	if mark := asof.From(ctx); mark != nil && m.Stale() {
		answer, err = r.askAnyhow(ctx, o, c, mark)
	} else {
		answer, _, err = o.Ask(ctx, c)
	}
	if errors.Is(err, wire.OutcomeUnknown) && m.ReadOnly() {
		err = wire.Errorf(wire.Unavailable, "region %s: the answer was lost", region)
	}
	if err != nil || resp == nil {
		return err
	}
	return wire.Decode(answer, resp)
}

// RegionOf says which region owns a code, as far as the directory's hints go, and whether anyone
// has claimed it: the owner of a code that nobody has claimed is its anchor.
func (r *Router) RegionOf(ctx context.Context, code fiscalcode.Code) (owner wire.RegionID,
	claimed bool, err error) {
	f, err := r.known()
	if err != nil {
		return "", false, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.OwnerWait)
	defer cancel()
	e, err := r.ownerOf(ctx, f, f.hasher.Recipient(code), false)
	if err != nil {
		return "", false, err
	}
	return e.Region, e.State == wire.Claimed, nil
}

// SenderProfile returns what a service may know of a citizen; NotFound covers no profile and a
// disabled inbox.
func (r *Router) SenderProfile(ctx context.Context, code fiscalcode.Code,
	service wire.ServiceID) (*wire.SenderProfile, error) {
	f, err := r.known()
	if err != nil {
		return nil, err
	}
	to := f.hasher.Recipient(code)
	p := new(wire.SenderProfile)
	_, err = r.callOwner(ctx, f, to, wire.MethodSenderProfile,
		&wire.SenderProfileQuery{Recipient: to, Service: service}, p)
	return orNil(p, err)
}

func orNil[T any](v *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// callOwner makes a read call to whoever owns the recipient and says whom it asked last. It
// follows Moved by the rule of package trail, within OwnerWait.
func (r *Router) callOwner(ctx context.Context, f *federation, to wire.Recipient,
	m wire.Method, req, resp codec.Message) (wire.RegionID, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.OwnerWait)
	defer cancel()
	known, fresh := false, false
	for way := trail.New("", 0); ; {
		if !known {
			e, err := r.ownerOf(ctx, f, to, fresh)
			if err != nil && hopeless(err) {
				return "", err
			}
			known = err == nil
			way.Aim(e.Region, e.Epoch)
		}
		if known {
			err := r.CallRegion(ctx, way.Region, m, req, resp)
			step := way.Heard(err)
			if step == trail.Answered {
				return way.Region, err
			}
			r.stats.moved.Inc()
			if step == trail.Named {
				r.directory.learn(f, to, claimedBy(way.Region, way.Epoch))
				continue
			}
			r.directory.denied(to, way.Epoch)
			known, fresh = false, true
		}
		if !way.Pause(ctx) {
			return "", wire.Errorf(wire.Unavailable, "the recipient's owner was not found in time")
		}
	}
}

// claimedBy is the entry of an owner that a region's log named.
func claimedBy(region wire.RegionID, epoch wire.Epoch) wire.DirectoryEntry {
	return wire.DirectoryEntry{Region: region, Epoch: epoch, State: wire.Claimed}
}
