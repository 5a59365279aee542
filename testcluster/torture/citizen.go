package torture

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/staffetta/staffetta/testcluster/process"
)

const (
	// pace is the mean pause between two operations of one client.
	pace = 120 * time.Millisecond
	// setback is the pause after an operation of unknown outcome: each of them stays open for the
	// judge, who has to think of all orders.
	setback = time.Second
	// replayed is how often at most a message under a key is sent until it has a verdict.
	replayed = 8
	pageSize = 100
)

// clients acts on citizens through the gateways.
type clients struct {
	*client
	time     *timeline
	book     *book
	regions  []string
	gateways []string // their URLs
	keys     [services]string
	ids      [services]string // of the services
}

func (w *clients) gateway(random *rand.Rand) string {
	return w.gateways[random.IntN(len(w.gateways))]
}

// pause waits for about d; false when ctx ended.
func pause(ctx context.Context, random *rand.Rand, d time.Duration) bool {
	timer := time.NewTimer(d/2 + time.Duration(random.Int64N(int64(d))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// live is a citizen's life: somebody writes before the citizen is known, then come the first
// login, the terms, and everything else until ctx ends.
func (w *clients) live(ctx context.Context, c *citizen, random *rand.Rand) {
	w.submit(ctx, c, random)
	for ctx.Err() == nil && !w.login(ctx, c, random) {
		pause(ctx, random, setback)
	}
	for ctx.Err() == nil && !w.accept(ctx, c, random) {
		pause(ctx, random, setback)
	}
	for pause(ctx, random, pace) {
		switch n := random.IntN(100); {
		case n < 2:
			w.login(ctx, c, random)
		case n < 3:
			w.logout(ctx, c, random)
			w.login(ctx, c, random)
		default:
			if w.act(ctx, c, random) == statusSession {
				w.login(ctx, c, random)
			}
		}
	}
}

// accompany acts on a citizen beside its own life.
func (w *clients) accompany(ctx context.Context, c *citizen, random *rand.Rand) {
	for pause(ctx, random, pace) {
		w.act(ctx, c, random)
	}
}

// act does something random; the answer is the status that refused it.
func (w *clients) act(ctx context.Context, c *citizen, random *rand.Rand) (status int) {
	var o outcome
	switch n := random.IntN(100); {
	case n < 25:
		o = w.submit(ctx, c, random)
	case n < 45:
		o = w.submitUnderKey(ctx, c, random)
	case n < 55:
		o, status = w.profile(ctx, c, random)
	case n < 62:
		o, status = w.update(ctx, c, random, false)
	case n < 68:
		o, status = w.choice(ctx, c, random)
	case n < 74:
		o, status = w.prefer(ctx, c, random)
	case n < 78:
		o, status = w.mark(ctx, c, random)
	case n < 81:
		o, status = w.look(ctx, c, random, random.IntN(marked))
	case n < 86:
		o, status = w.inbox(ctx, c, random)
	case n < 94:
		o = w.read(ctx, c, random)
	case n < 97:
		o = w.senderAsks(ctx, c, random)
	case n < 99:
		o = w.replay(ctx, c, random)
	default:
		o, status = w.move(ctx, c, random)
	}
	if o == unknown {
		pause(ctx, random, setback)
	}
	return status
}

// held is what the citizen's clients know at a moment.
type held struct {
	token   string
	session int
	version uint64
	mode    string
	setting int64
}

func (c *citizen) held() held {
	c.mu.Lock()
	defer c.mu.Unlock()
	return held{c.token, c.session, c.version, c.mode, c.setting}
}

// login opens a session, which ends the one before.
func (w *clients) login(ctx context.Context, c *citizen, random *rand.Rand) bool {
	c.mu.Lock()
	c.logins++
	op := operation{kind: opLogin, session: c.logins}
	body := map[string]any{"username": c.code, "password": process.TestPassword}
	if c.session == 0 { // the first login decides where the citizen lives
		body["home_region"] = c.region
	}
	c.mu.Unlock()
	began := w.time.now()
	a := w.call(ctx, http.MethodPost, w.gateway(random)+"/test-login", body)
	w.book.count(opLogin, a.outcome)
	var token struct{ Token string }
	switch {
	case a.outcome == done && a.decode(&token) == nil && token.Token != "":
		c.note(op, saw{outcome: done}, began, w.time.now())
		c.mu.Lock()
		c.token, c.session = token.Token, op.session
		c.mu.Unlock()
		return true
	case a.outcome == refused && a.status != 0 && a.status != http.StatusTooManyRequests:
		w.book.findings.add("citizen %d: a login is refused: %d %s", c.index, a.status, a.problem)
	case a.outcome != refused:
		c.note(op, saw{outcome: unknown}, began, 0)
	}
	return false
}

func (w *clients) logout(ctx context.Context, c *citizen, random *rand.Rand) {
	h := c.held()
	op := operation{kind: opLogout, session: h.session}
	began := w.time.now()
	a := w.citizen(ctx, http.MethodPost, w.gateway(random)+"/api/auth/v1/logout", h.token,
		map[string]any{})
	w.noted(c, op, a, saw{}, began)
}

// noted takes an operation under a session into the log, with what was seen when it was done.
// The answer is its outcome and the status that refused it.
func (w *clients) noted(c *citizen, op operation, a *answer, seen saw, began time.Duration) (
	outcome, int) {
	w.book.count(op.kind, a.outcome)
	reads := op.kind == opLook || op.kind == opProfile || op.kind == opChoice ||
		op.kind == opSenderAsks
	switch {
	case a.outcome == done:
		seen.outcome = done
		c.note(op, seen, began, w.time.now())
	case a.status == statusSession || a.status == statusNewer && !reads ||
		a.status == statusMissing && op.kind == opSenderAsks:
		c.note(op, saw{outcome: refused, status: a.status}, began, w.time.now())
		return refused, a.status
	case a.status == http.StatusTooManyRequests || a.outcome == refused && a.status == 0 ||
		a.status == http.StatusServiceUnavailable && a.outcome == refused:
	case a.outcome == refused:
		w.book.findings.add("citizen %d: %s is refused: %d %s", c.index, op.kind, a.status,
			a.problem)
	case !reads:
		c.note(op, saw{outcome: unknown}, began, 0)
	}
	return a.outcome, 0
}

// profileView is the part of a profile that the judge knows.
type profileView struct {
	Version  uint64  `json:"version"`
	Terms    float64 `json:"accepted_tos_version"`
	Settings struct {
		Mode string `json:"mode"`
	} `json:"service_preferences_settings"`
}

// keep notes what was seen of a profile, for the operations to come.
func (c *citizen) keep(p *profileView) saw {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.Version >= c.version {
		c.version, c.mode = p.Version, p.Settings.Mode
	}
	return saw{version: p.Version, mode: p.Settings.Mode, accepted: p.Terms > 0}
}

func (w *clients) profile(ctx context.Context, c *citizen, random *rand.Rand) (outcome, int) {
	h := c.held()
	if h.token == "" {
		return refused, 0
	}
	began := w.time.now()
	a := w.citizen(ctx, http.MethodGet, w.gateway(random)+"/api/identity/v1/profile", h.token, nil)
	var p profileView
	if a.outcome == done && a.decode(&p) != nil {
		w.book.findings.add("citizen %d: a profile cannot be read", c.index)
		return unknown, 0
	}
	var seen saw
	if a.outcome == done {
		seen = c.keep(&p)
	}
	return w.noted(c, operation{kind: opProfile, session: h.session}, a, seen, began)
}

// accept accepts the terms, as the first update; true when they are accepted.
func (w *clients) accept(ctx context.Context, c *citizen, random *rand.Rand) bool {
	if _, status := w.profile(ctx, c, random); status == statusSession {
		w.login(ctx, c, random)
		return false
	}
	if c.held().version > 0 {
		return true
	}
	o, status := w.update(ctx, c, random, true)
	return o == done || status == statusNewer && c.held().version > 0
}

// update changes the profile's mode, or accepts the terms, under the version last seen.
func (w *clients) update(ctx context.Context, c *citizen, random *rand.Rand, accept bool) (
	outcome, int) {
	h := c.held()
	if h.token == "" || h.version == 0 && !accept {
		return refused, 0
	}
	op := operation{kind: opUpdate, session: h.session, version: h.version, accept: accept,
		mode: modeAuto}
	body := map[string]any{"version": op.version}
	if accept {
		body["accepted_tos_version"] = 5.4
	} else if random.IntN(3) == 0 {
		op.mode = modeManual
	}
	body["service_preferences_settings"] = map[string]any{"mode": op.mode}
	began := w.time.now()
	a := w.citizen(ctx, http.MethodPost, w.gateway(random)+"/api/identity/v1/profile", h.token, body)
	var p profileView
	if a.outcome == done && a.decode(&p) != nil {
		w.book.findings.add("citizen %d: an updated profile cannot be read", c.index)
		return unknown, 0
	}
	var seen saw
	if a.outcome == done {
		seen = c.keep(&p)
	}
	return w.noted(c, op, a, seen, began)
}

// preferenceView is the part of a preference that the judge knows.
type preferenceView struct {
	Inbox   bool  `json:"is_inbox_enabled"`
	Email   bool  `json:"is_email_enabled"`
	Webhook bool  `json:"is_webhook_enabled"`
	Setting int64 `json:"settings_version"`
}

func (w *clients) choice(ctx context.Context, c *citizen, random *rand.Rand) (outcome, int) {
	h := c.held()
	if h.version == 0 {
		return refused, 0
	}
	service := random.IntN(services)
	began := w.time.now()
	a := w.citizen(ctx, http.MethodGet, w.gateway(random)+"/api/identity/v1/services/"+
		w.ids[service]+"/preferences", h.token, nil)
	var p preferenceView
	if a.outcome == done {
		if a.decode(&p) != nil {
			w.book.findings.add("citizen %d: a preference cannot be read", c.index)
			return unknown, 0
		}
		c.mu.Lock()
		c.setting = max(c.setting, p.Setting)
		c.mu.Unlock()
	}
	return w.noted(c, operation{kind: opChoice, session: h.session, service: service}, a,
		saw{setting: p.Setting, inbox: p.Inbox}, began)
}

// prefer says whether the citizen wants a service's messages, more often yes than no.
func (w *clients) prefer(ctx context.Context, c *citizen, random *rand.Rand) (outcome, int) {
	h := c.held()
	if h.version == 0 {
		return refused, 0
	}
	op := operation{kind: opPreference, session: h.session, service: random.IntN(services),
		setting: h.setting, inbox: random.IntN(4) != 0}
	began := w.time.now()
	a := w.citizen(ctx, http.MethodPost, w.gateway(random)+"/api/identity/v1/services/"+
		w.ids[op.service]+"/preferences", h.token,
		preferenceView{Inbox: op.inbox, Setting: op.setting})
	return w.noted(c, op, a, saw{}, began)
}

// markable is the path of one of the citizen's first messages, if it was delivered; else empty.
// With file somebody is about to archive it.
func (c *citizen) markable(message int, file bool) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if message >= len(c.list) {
		return ""
	}
	s := c.list[message]
	if s.known != done || s.status != processed || len(s.ids) != 1 {
		return ""
	}
	s.filed = s.filed || file
	return "/api/communication/v1/messages/" + s.ids[0]
}

// mark says that a message was read, archives it, or takes it out of the archive.
func (w *clients) mark(ctx context.Context, c *citizen, random *rand.Rand) (outcome, int) {
	h := c.held()
	op := operation{kind: opMark, session: h.session, message: random.IntN(marked)}
	body := map[string]any{"change_type": "reading"}
	if random.IntN(4) == 0 {
		op.read, body["is_read"] = true, true
	} else {
		archive := random.IntN(2) == 0
		op.archive = choiceOf(archive)
		body["change_type"], body["is_archived"] = "archiving", archive
	}
	path := c.markable(op.message, op.archive == yes)
	if path == "" {
		return refused, 0
	}
	began := w.time.now()
	a := w.citizen(ctx, http.MethodPut, w.gateway(random)+path+"/status", h.token, body)
	return w.notedStatus(c, op, a, began)
}

// look reads the status of one of the first messages.
func (w *clients) look(ctx context.Context, c *citizen, random *rand.Rand, message int) (outcome,
	int) {
	h := c.held()
	path := c.markable(message, false)
	if path == "" {
		return refused, 0
	}
	began := w.time.now()
	a := w.citizen(ctx, http.MethodGet, w.gateway(random)+path+"?public_message=true", h.token, nil)
	return w.notedStatus(c, operation{kind: opLook, session: h.session, message: message}, a, began)
}

func (w *clients) notedStatus(c *citizen, op operation, a *answer, began time.Duration) (outcome,
	int) {
	var s status
	if a.outcome == done && a.decode(&s) != nil {
		w.book.findings.add("citizen %d: a message's status cannot be read", c.index)
		return unknown, 0
	}
	return w.noted(c, op, a, saw{mark: s}, began)
}

// senderAsks asks as an institution whether it may write.
func (w *clients) senderAsks(ctx context.Context, c *citizen, random *rand.Rand) outcome {
	op := operation{kind: opSenderAsks} // the second service may not ask
	began := w.time.now()
	a := w.institution(ctx, http.MethodPost, w.gateway(random)+"/api/v1/profiles",
		w.keys[op.service], map[string]any{"fiscal_code": c.code})
	var p struct {
		Allowed bool `json:"sender_allowed"`
	}
	if a.outcome == done && a.decode(&p) != nil {
		w.book.findings.add("citizen %d: a sender's profile cannot be read", c.index)
		return unknown
	}
	o, _ := w.noted(c, op, a, saw{inbox: p.Allowed}, began)
	return o
}

// homeView is where a citizen lives.
type homeView struct {
	Region string `json:"region"`
	State  string `json:"state"`
}

const (
	homePath = "/api/identity/v1/home-region"
	settled  = "SETTLED"
)

// move has the citizen begin to move to a region. Nobody waits for the end of it.
func (w *clients) move(ctx context.Context, c *citizen, random *rand.Rand) (outcome, int) {
	h := c.held()
	if h.version == 0 {
		return refused, 0
	}
	to := choose(random, w.regions)
	c.mu.Lock()
	c.regions = append(c.regions, to) // it may have it from now on, whatever is answered
	c.mu.Unlock()
	a := w.citizen(ctx, http.MethodPost, w.gateway(random)+homePath, h.token,
		map[string]any{"region": to})
	w.book.count("move", a.outcome)
	if a.outcome == refused && a.status != statusSession && a.status != statusNewer &&
		a.status != http.StatusTooManyRequests && a.status != 0 {
		w.book.findings.add("citizen %d: a move is refused: %d %s", c.index, a.status, a.problem)
	}
	return a.outcome, a.status
}

// settle reads where the citizen lives; true when no move is under way.
func (w *clients) settle(ctx context.Context, c *citizen, random *rand.Rand) bool {
	a := w.citizen(ctx, http.MethodGet, w.gateway(random)+homePath, c.held().token, nil)
	var v homeView
	if a.outcome != done || a.decode(&v) != nil || v.State != settled {
		return false
	}
	if !slices.Contains(c.homes(), v.Region) {
		w.book.findings.add("citizen %d lives in %s, and was to live in %v", c.index, v.Region,
			c.homes())
	}
	return true
}
