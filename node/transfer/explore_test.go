package transfer

import (
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

var (
	exploreFor  = flag.Duration("explore", 0, "how long to explore; 0: a number of worlds")
	exploreSeed = flag.Uint64("explore-seed", 0, "explore this one world; 0: many")
)

// exploredWorlds are the worlds of an ordinary run.
const exploredWorlds = 60

// exploredJudged: the status of one history's messages is looked at after every so many steps.
const exploredJudged = 4

// exploredSteps is how many steps a history takes on average before it settles.
const exploredSteps = 80

// TestExplore has three honest regions claim, move, deal slots with force and without, lose power,
// restore copies, spool, and forget at different times, in an order that nobody thought of. Whatever
// one exports, the other accepts; no replica stops; in the end each code has one owner that
// decides, whom the directory names, and each key leads to its message. A verdict that could be read
// once is never followed by another one, or by none yet.
func TestExplore(t *testing.T) {
	if *exploreSeed != 0 {
		explore(t, *exploreSeed)
		return
	}
	var next, done atomic.Uint64
	worlds := uint64(exploredWorlds)
	if testing.Short() {
		worlds = exploredWorlds / 6
	}
	end := time.Now().Add(*exploreFor)
	if *exploreFor > 0 {
		next.Store(uint64(time.Now().UnixNano()))
	}
	first := next.Load()
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for !t.Failed() {
				seed := next.Add(1)
				if *exploreFor > 0 && time.Now().After(end) || *exploreFor == 0 && seed-first > worlds {
					return
				}
				explore(t, seed)
				done.Add(1)
			}
		})
	}
	all.Wait()
	t.Logf("%d histories in %d worlds", done.Load()*exploredPlots, done.Load())
}

// explore runs one world.
func explore(t testing.TB, seed uint64) {
	w := newExplored(t, seed)
	defer w.close()
	for i := range exploredSteps * exploredPlots {
		if p := w.someStep(); i%exploredJudged == 0 {
			w.judgeStatus(p)
		}
		if w.broken > 0 {
			return
		}
	}
	if w.settle(); w.broken == 0 {
		w.judge()
	}
}

// someStep takes one step of somebody, most often in the history that it returns.
func (w *explored) someStep() *exploredPlot {
	p, r := w.plots[w.rng.IntN(len(w.plots))], w.someRegion()
	switch n := w.rng.IntN(1000); {
	case n < 220:
		w.submit(p)
	case n < 280:
		w.spool(p)
	case n < 340:
		w.claim(p, r)
	case n < 400:
		w.visit(p)
	case n < 450:
		w.leave(p)
	case n < 480:
		w.abort(p)
	case n < 540:
		w.deal(p, r)
	case n < 640:
		w.drive(func(r *exploredRegion) { r.driveClaims(p) })
	case n < 760:
		w.drive(func(r *exploredRegion) { r.driveMoves(p) })
	case n < 880:
		w.drive(func(r *exploredRegion) { r.driveSlot(p) })
	case n < 900:
		w.drive(func(r *exploredRegion) { r.relay(w.someRegion()) })
	case n < 930:
		w.housekeep(r)
		w.forget()
	case n < 945:
		w.pass()
	case n < 960 && (r.away || w.chance(4)):
		w.power(r)
	case n < 985 && !r.away:
		r.reconcile()
	case n < 988 && r.serves():
		r.backUp()
	case n == 988 && r.copy != nil && w.seed%2 == 0:
		w.noteAll("%s is restored", r.id)
		r.restore()
	}
	return p
}

// drive has each region that serves do a part of its duties.
func (w *explored) drive(duty func(*exploredRegion)) {
	for _, r := range w.regions {
		if r.serves() {
			duty(r)
		}
	}
}

// owned is a code of a history, and a region that owns it; nil when there is none that serves.
func (w *explored) owned(p *exploredPlot) (wire.Recipient, fiscalcode.Code, *exploredRegion) {
	code := p.codes[w.rng.IntN(len(p.codes))]
	for _, r := range w.regions {
		own, _, err := r.state.Ownership(w.recipient(code))
		if err != nil {
			w.t.Fatal(err)
		}
		if r.serves() && own.State == wire.Owned {
			return w.recipient(code), code, r
		}
	}
	return wire.Recipient{}, code, nil
}

// pass lets time pass: seconds, the wait of a forced deal, or hours in which rejections and copies
// are forgotten.
func (w *explored) pass() {
	w.now = w.now.Add([]time.Duration{time.Second, 20 * time.Second, time.Minute,
		3 * time.Minute, time.Hour}[w.rng.IntN(5)])
}

func (w *explored) power(r *exploredRegion) {
	r.away = !r.away
	w.noteAll("%s away: %v, at %v", r.id, r.away, w.now)
}

// claim is a first login, up to its intent.
func (w *explored) claim(p *exploredPlot, r *exploredRegion) {
	code := w.recipient(p.codes[w.rng.IntN(len(p.codes))])
	e := w.directory(code)
	if !r.serves() || !w.chance(p.late) || e.State != wire.Unclaimed && e.Region != r.id {
		return
	}
	r.step(p, "claims "+short(code), wire.CmdClaimIntent, &wire.ClaimIntent{Recipient: code}, nil)
}

// visit is a login where the code is owned; the citizen accepts the terms, or switches off.
func (w *explored) visit(p *exploredPlot) {
	_, code, r := w.owned(p)
	if r == nil {
		return
	}
	r.mint++
	token := wire.TokenHash{byte(r.tag), byte(r.mint >> 16), byte(r.mint >> 8), byte(r.mint), 1}
	login := wire.Login{Session: wire.Session{Token: token, FiscalCode: code, CreatedAt: w.now,
		Name: "Nome", FamilyName: "Cognome", ExpiresAt: w.now.Add(366 * 24 * time.Hour)}}
	if r.step(p, "login of "+short(w.recipient(code)), wire.CmdLogin, &login, nil) != nil {
		return
	}
	profile, err := r.state.Profile(token, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	u := wire.ProfileUpdate{Version: profile.Version, AcceptedTos: 1, Inbox: wire.Yes}
	if w.chance(4) {
		u.Inbox = wire.No
	}
	if w.chance(3) {
		u.SetMode, u.Mode = true, wire.Auto
	}
	r.step(p, "profile", wire.CmdSetProfile, &wire.SetProfile{Token: token, Update: u}, nil)
	if w.chance(2) && profile.SettingsVersion >= 0 {
		r.step(p, "preference", wire.CmdSetPreference, &wire.SetPreference{Token: token,
			Preference: wire.Preference{Service: exploredService, Inbox: w.chance(2),
				SettingsVersion: profile.SettingsVersion}}, nil)
	}
}

// leave begins a move.
func (w *explored) leave(p *exploredPlot) {
	code, _, r := w.owned(p)
	to := w.someRegion()
	if r == nil {
		return
	}
	r.step(p, "move of "+short(code)+" to "+string(to.id), wire.CmdMoveIntent,
		&wire.MoveIntent{Recipient: code, To: to.id}, nil)
}

// abort asks for the end of a move.
func (w *explored) abort(p *exploredPlot) {
	for _, r := range w.regions {
		moves, err := r.state.Moves(movesScan)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range moves {
			if r.serves() && m.Recipient.Slot() == p.slot {
				r.step(p, "abort of "+short(m.Recipient), wire.CmdMoveAbort,
					&wire.MoveRef{Recipient: m.Recipient}, nil)
			}
		}
	}
}

// deal gives a slot to a region.
func (w *explored) deal(p *exploredPlot, r *exploredRegion) {
	d := &wire.DealSlots{Slots: []wire.Slot{p.slot}, To: r.id, Force: w.chance(3)}
	err := w.tell(wire.CmdDealSlots, d, nil)
	p.note("the slot is dealt to %s, force %v, at %v: %v", r.id, d.Force, w.now, err)
}
