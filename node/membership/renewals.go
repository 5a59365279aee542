package membership

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/renewal"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// renewalKeep is how long a question or its answer is kept after it was last asked for.
	renewalKeep = 10 * time.Minute
	// renewalPause separates two different requests of one identity.
	renewalPause = time.Second
)

// renewals are the certificates that are asked for in this node's region, while it leads. They are
// in memory only: after a change of leader they are asked for again.
type renewals struct {
	*seat.Seat

	mu      sync.Mutex
	term    uint64 // of what is below; another one's is forgotten
	seen    time.Time
	waiting map[string]*renewalAsked // by identity
	changed chan struct{}            // closed when waiting has one more
}

// renewalAsked is one of them. Its ask is never changed; done is closed once answer is there.
type renewalAsked struct {
	ask    wire.AskRenewal
	since  time.Time
	last   time.Time
	answer *wire.Renewal
	done   chan struct{}
}

func newRenewals(at *seat.Seat) *renewals {
	return &renewals{Seat: at, waiting: map[string]*renewalAsked{}, changed: make(chan struct{})}
}

// renewalCalls are the calls about certificates that are renewed unattended. The region's leader
// answers them from its memory; see lead.
func (d *Membership) renewalCalls() []seat.Call {
	renewers := seat.Operators(link.RightMember, seat.Here)
	return []seat.Call{
		seat.Answers(d.Seat, wire.MethodAskRenewal, seat.Only(link.RoleNode, link.RoleGateway),
			seat.AnyNode, d.renewals.ask), // for itself only
		seat.Answers(d.Seat, wire.MethodListRenewals, renewers, seat.AnyNode, d.renewals.list),
		seat.Answers(d.Seat, wire.MethodSettleRenewal, renewers, seat.AnyNode,
			d.renewals.settle).ByOne(seat.Undone),
	}
}

// lead refuses on a node that does not lead its region, and forgets what was asked of it when it
// led before. On success r.mu is held.
func (r *renewals) lead() error {
	g := r.RegionGroup
	if leader, _ := g.Leader(); leader != r.ID {
		return &wire.Error{Code: wire.NotLeader, Leader: leader}
	}
	term := g.Status().Term
	r.mu.Lock()
	if r.term != term {
		r.term, r.seen = term, time.Time{}
		clear(r.waiting)
	}
	now := time.Now()
	maps.DeleteFunc(r.waiting, func(_ string, w *renewalAsked) bool {
		return now.Sub(w.last) > renewalKeep
	})
	return nil
}

// ask answers MethodAskRenewal. Whoever it is from gets a certificate of itself only.
func (r *renewals) ask(ctx context.Context, from link.Identity, a *wire.AskRenewal) (
	*wire.Renewal, error) {
	id, err := renewal.Check(a, r.Link.Judge)
	switch {
	case err != nil:
		return nil, err
	case id != from:
		return nil, wire.Errorf(wire.Forbidden, "%s asks for a certificate of %s", from, id)
	case id.Region != r.RegionID:
		return nil, wire.Errorf(wire.Forbidden, "%s is not of region %s", id, r.RegionID)
	}
	if err := renewal.OnMap(r.Map(), id); err != nil {
		return nil, err
	}
	w, err := r.enter(id.String(), a)
	if err != nil {
		return nil, err
	}
	patience := time.NewTimer(wire.RenewalWait)
	defer patience.Stop()
	select {
	case <-w.done:
	case <-patience.C:
	case <-ctx.Done():
	case <-r.Stopping:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	answer := &wire.Renewal{}
	if w.answer != nil {
		answer = w.answer
	}
	if answer.Refusal != "" && r.waiting[id.String()] == w {
		delete(r.waiting, id.String()) // the next time it is looked at again
	}
	if !r.seen.IsZero() {
		answer.RenewerSeen = wire.TimeOf(r.seen)
	}
	return answer, nil
}

// enter notes a request, or finds the same one.
func (r *renewals) enter(id string, a *wire.AskRenewal) (*renewalAsked, error) {
	if err := r.lead(); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	now := time.Now()
	w := r.waiting[id]
	if w != nil && wire.FingerprintOf(w.ask.Request) == wire.FingerprintOf(a.Request) {
		w.last = now
		return w, nil
	}
	since := now
	if w != nil {
		if now.Sub(w.last) < renewalPause {
			return nil, wire.Errorf(wire.Overloaded, "%s has just asked for another certificate", id)
		}
		if w.answer == nil {
			since = w.since
		}
	}
	w = &renewalAsked{ask: *a, since: since, last: now, done: make(chan struct{})}
	r.waiting[id] = w
	close(r.changed)
	r.changed = make(chan struct{})
	return w, nil
}

// list answers MethodListRenewals.
func (r *renewals) list(ctx context.Context, _ link.Identity, _ *seat.None) (*wire.Renewals,
	error) {
	patience := time.NewTimer(wire.RenewalWait)
	defer patience.Stop()
	for over := false; ; {
		if err := r.lead(); err != nil {
			return nil, err
		}
		r.seen = time.Now()
		changed, list := r.changed, &wire.Renewals{List: r.undecided()}
		r.mu.Unlock()
		if len(list.List) > 0 || over {
			return list, nil
		}
		select {
		case <-changed:
		case <-patience.C:
			over = true
		case <-r.Stopping:
			over = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// undecided are the requests without an answer, in the order of their identities. Called with mu.
func (r *renewals) undecided() (list []wire.PendingRenewal) {
	for _, id := range slices.Sorted(maps.Keys(r.waiting)) {
		if w := r.waiting[id]; w.answer == nil && len(list) < wire.RenewalsMax {
			list = append(list, wire.PendingRenewal{Identity: id, Ask: w.ask})
		}
	}
	return list
}

// settle answers MethodSettleRenewal.
func (r *renewals) settle(_ context.Context, _ link.Identity, s *wire.SettleRenewal) (
	*seat.None, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if len(s.Certificate) > 0 {
		id, err := r.Link.Judge(s.Certificate)
		if err != nil {
			return nil, err
		}
		if id.String() != s.Identity {
			return nil, wire.Malformedf("the certificate is of %s", id)
		}
	}
	if err := r.lead(); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	w := r.waiting[s.Identity]
	if w == nil || wire.FingerprintOf(w.ask.Request) != s.Request {
		return nil, wire.Errorf(wire.NotFound, "nobody waits for that certificate")
	}
	if w.answer == nil {
		w.answer = &wire.Renewal{Certificate: s.Certificate, Refusal: s.Refusal}
		close(w.done)
	}
	return nil, nil
}

// concern says who has waited for long; empty: nobody. What waits is renewed late: its holder asks
// when a third of its certificate's life is left.
func (r *renewals) concern() string {
	if r.lead() != nil {
		return ""
	}
	defer r.mu.Unlock()
	var late []string
	for id, w := range r.waiting {
		if w.answer == nil && time.Since(w.since) > renewalKeep {
			late = append(late, id)
		}
	}
	if len(late) == 0 {
		return ""
	}
	slices.Sort(late)
	why := "no renewer has asked this node since it leads"
	if !r.seen.IsZero() {
		why = "the last renewer asked at " + wire.TimeOf(r.seen).String()
	}
	return fmt.Sprintf("%d certificates wait to be renewed, and %s: %s", len(late), why,
		strings.Join(late[:min(len(late), 4)], ", "))
}

// HoldCertificate makes what renews this node's own certificate; nil: others do.
func (d *Membership) HoldCertificate() (err error) {
	if d.cfg.Renew == (renewal.Files{}) {
		return nil
	}
	d.holder, err = renewal.NewHolder(renewal.Config{Files: d.cfg.Renew,
		Certificate: d.cfg.Certificate, Judge: d.Link.Judge, Ask: d.askRenewal, Logger: d.Log,
		Registerer: d.cfg.Registerer})
	return err
}

// KeepCertificate renews this node's own certificate until ctx ends.
func (d *Membership) KeepCertificate(ctx context.Context) error {
	if d.holder == nil {
		return nil
	}
	return d.holder.Run(ctx)
}

// askRenewal asks the region's leader, which may be this node.
func (d *Membership) askRenewal(ctx context.Context, a *wire.AskRenewal) (*wire.Renewal, error) {
	leader, known := d.RegionGroup.Leader()
	if !known {
		return nil, wire.Errorf(wire.Unavailable, "the region has no leader")
	}
	if leader == d.ID {
		return d.renewals.ask(ctx, d.Link.Self(), a)
	}
	r := new(wire.Renewal)
	return r, d.CallNode(ctx, leader, wire.MethodAskRenewal, a, r)
}
