package route

import (
	"context"
	"errors"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// FindMessage returns a message of a citizen. It asks the owner, then the code's anchor, which
// may still hold what it refused before the code was claimed, then the spool of the region that
// the id's tag names. A message that waits there, and went to no owner yet, is THROTTLED; of one
// that was relayed, or may have been, the owner has to say: a status that anybody was told as final
// is not followed by one that is not. NotFound only when all have said so, or when the tag names no
// region; Unavailable when one of them cannot be asked and none of the others knows the message.
func (r *Router) FindMessage(ctx context.Context, code fiscalcode.Code, id wire.MessageID) (
	*wire.MessageView, error) {
	f, err := r.known()
	if err != nil {
		return nil, err
	}
	tag, ok := f.byTag[id.Tag()]
	if !ok {
		return nil, errNoMessage
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.OwnerWait)
	defer cancel()
	q := &find{router: r, f: f, to: f.hasher.Recipient(code), id: id, tag: tag.ID}
	return q.find(ctx)
}

// find is the search for one message.
type find struct {
	router *Router
	f      *federation
	to     wire.Recipient
	id     wire.MessageID
	tag    wire.RegionID
}

var errNoMessage = &wire.Error{Code: wire.NotFound, Detail: "no such message"}

func (q *find) find(ctx context.Context) (*wire.MessageView, error) {
	if q.ownerAway() { // its answer would cost the whole time: whoever is THROTTLED learns that first
		if v, err := q.spooled(ctx); err == nil && alone(v) {
			return stubView(v), nil
		}
	}
	view, failed := q.keepers(ctx)
	if view != nil {
		return view, nil
	}
	v, err := q.spooled(ctx)
	switch {
	case errors.Is(err, wire.NotFound) && failed == nil:
		return nil, errNoMessage
	case failed != nil && (err != nil || !alone(v)):
		return nil, failed
	case err != nil:
		return nil, err
	case alone(v):
		return stubView(v), nil
	}
	return q.relayed(ctx, v)
}

// alone reports whether the spool's word is all that there is to know: the message waits there and
// went to no owner yet, or it failed, so that no owner has it.
func alone(v *wire.SpooledView) bool {
	return v.RelayedAt == 0 && !v.Offered || v.Verdict.Status == wire.Failed
}

// ownerAway reports whether the owner, as far as the cache knows, does not answer these days.
func (q *find) ownerAway() bool {
	e, ok := q.router.directory.get(q.f, q.to)
	own := q.router.owner(e.Region)
	return ok && own != nil && own.presence.away.Load()
}

// keepers asks the owner and the anchor. Without a view and an error neither has the message. So
// that the spool can be asked after an owner that does not answer, they get a part of the time.
func (q *find) keepers(ctx context.Context) (*wire.MessageView, error) {
	if d, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(d)*3/5)
		defer cancel()
	}
	view := new(wire.MessageView)
	asked, err := q.router.callOwner(ctx, q.f, q.to, wire.MethodFindMessage, q.request(q.id), view)
	anchor := q.f.anchors[q.to.Slot()]
	if errors.Is(err, wire.NotFound) && anchor != "" && anchor != asked {
		// The anchor knows that it released the code and may answer so: it has nothing more.
		err = q.ask(ctx, anchor, q.id, view)
	}
	if errors.Is(err, wire.NotFound) {
		return nil, nil
	}
	return orNil(view, err)
}

// ask asks a region for a message that it may have refused before the code went elsewhere.
func (q *find) ask(ctx context.Context, region wire.RegionID, id wire.MessageID,
	view *wire.MessageView) error {
	err := q.router.CallRegion(ctx, region, wire.MethodFindMessage, q.request(id), view)
	if errors.Is(err, wire.Moved) {
		err = errNoMessage
	}
	return err
}

// spooled asks the spool of the region that minted the id.
func (q *find) spooled(ctx context.Context) (*wire.SpooledView, error) {
	v := new(wire.SpooledView)
	err := q.router.CallRegion(ctx, q.tag, wire.MethodFindSpooled, q.request(q.id), v)
	if errors.Is(err, wire.UnknownKind) {
		err = errNoMessage // a program that knows no spool has none
	}
	return orNil(v, err)
}

func (q *find) request(id wire.MessageID) *wire.FindMessage {
	return &wire.FindMessage{Recipient: q.to, ID: id}
}

// relayed returns a message that its owner has taken from a spool, or may have: after the owner was
// asked, or under another id, when that one came first under the idempotency key. When nobody has a
// rejection any more, or nobody has the message yet, the spool's word stands. A delivered message
// that nobody has is lost: its region was restored from a copy, and its sender has to learn that.
func (q *find) relayed(ctx context.Context, v *wire.SpooledView) (*wire.MessageView, error) {
	id := q.id
	if !v.Alias.IsZero() {
		id = v.Alias
	}
	view := new(wire.MessageView)
	asked, err := q.router.callOwner(ctx, q.f, q.to, wire.MethodFindMessage, q.request(id), view)
	if errors.Is(err, wire.NotFound) && asked != v.Owner {
		err = q.ask(ctx, v.Owner, id, view)
	}
	switch {
	case errors.Is(err, wire.NotFound) && v.Verdict.Status == wire.Processed:
		return nil, errNoMessage
	case errors.Is(err, wire.NotFound):
		return stubView(v), nil
	case err != nil:
		return nil, err
	}
	view.ID = q.id
	return view, nil
}

// stubView is what the spool alone can tell of a message.
func stubView(v *wire.SpooledView) *wire.MessageView {
	return &wire.MessageView{ID: v.ID, Service: v.Service, Verdict: v.Verdict,
		TimeToLive: v.TimeToLive, FeatureLevel: v.FeatureLevel}
}
