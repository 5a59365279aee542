package torture

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"
)

// services is how many services write to citizens.
const services = 2

// marked is how many of a citizen's first messages may be read and archived.
const marked = 6

// The kinds of operations on one citizen's registry entry.
const (
	opLogin       = "login"
	opLogout      = "logout"
	opProfile     = "profile"       // reads it
	opUpdate      = "update"        // changes it, if the version is the one named
	opPreference  = "preference"    // changes it, if the settings version is the one named
	opChoice      = "choice"        // reads what the citizen gets of a service
	opSubmit      = "submit"        // gives a verdict
	opSenderAsks  = "senderprofile" // asks whether a service may write
	opMark        = "mark"          // changes a message's status
	opLook        = "look"          // reads it
	opAsk         = "ask"           // needs a session, and is judged by that alone
	modeLegacy    = "LEGACY"
	modeAuto      = "AUTO"
	modeManual    = "MANUAL"
	userNotFound  = "USER_NOT_FOUND"
	notAllowed    = "SERVICE_NOT_ALLOWED"
	statusSession = 401
	statusMissing = 404
	statusNewer   = 409
)

// operation is what a client asked for.
type operation struct {
	kind    string
	session int    // number of the login whose session it is made under
	version uint64 // of an update
	accept  bool   // an update accepts the terms
	mode    string // that an update sets; empty: none
	service int
	setting int64 // of a preference
	inbox   bool  // what a preference sets
	message int   // of the marked ones
	read    bool  // a mark says that it was read
	archive choice
}

// saw is what a client saw of it.
type saw struct {
	outcome  outcome
	status   int // 401, 404 and 409 say why nothing happened; else 0
	version  uint64
	mode     string
	accepted bool
	setting  int64
	inbox    bool   // a choice, or that a service may write
	mark     status // of a message
	verdict  string // PROCESSED, or the reason why not
}

// registry is all that matters of one citizen's registry entry, but for messages' statuses.
type registry struct {
	known    bool // somebody logged in once
	session  int  // 0: none
	version  uint64
	accepted bool
	mode     string
	setting  int64
	choice   [services]choice
}

// status is what the citizen did with a message.
type status struct {
	Read     bool `json:"is_read"`
	Archived bool `json:"is_archived"`
}

// after is the status after a mark.
func (s status) after(op operation) status {
	s.Read = s.Read || op.read
	if op.archive != unset {
		s.Archived = op.archive == yes
	}
	return s
}

type choice int8

const (
	unset choice = iota
	yes
	no
)

func choiceOf(b bool) choice {
	if b {
		return yes
	}
	return no
}

// allows reports whether a service's messages reach the inbox, as far as modes and choices go.
func (r registry) allows(service int) bool {
	switch r.mode {
	case modeAuto:
		return r.choice[service] != no
	case modeManual:
		return r.choice[service] == yes
	}
	return true
}

func (r registry) verdict(service int) string {
	switch {
	case !r.known:
		return userNotFound
	case !r.accepted || !r.allows(service):
		return notAllowed
	}
	return processed
}

// apply returns the entry after op, and what a client sees of op.
func (r registry) apply(op operation) (registry, saw) {
	ok := saw{outcome: done}
	switch op.kind {
	case opLogin:
		if r.session = op.session; !r.known {
			r.known, r.mode, r.setting = true, modeLegacy, -1
		}
		return r, ok
	case opSubmit:
		ok.verdict = r.verdict(op.service)
		return r, ok
	case opSenderAsks:
		if !r.known || !r.accepted {
			return r, saw{outcome: refused, status: statusMissing}
		}
		ok.inbox = r.allows(op.service)
		return r, ok
	}
	if op.session != r.session { // everything else is done under a session
		return r, saw{outcome: refused, status: statusSession}
	}
	switch op.kind {
	case opLogout:
		r.session = 0
	case opProfile:
		ok.version, ok.mode, ok.accepted = r.version, r.mode, r.accepted
	case opChoice:
		ok.setting, ok.inbox = r.setting, r.allows(op.service)
	case opUpdate:
		if op.version != r.version {
			return r, saw{outcome: refused, status: statusNewer}
		}
		r.version++
		r.accepted = r.accepted || op.accept
		if op.mode != "" && op.mode != r.mode {
			r.mode, r.setting, r.choice = op.mode, r.setting+1, [services]choice{}
		}
		ok.version, ok.mode, ok.accepted = r.version, r.mode, r.accepted
	case opPreference:
		if r.mode == modeLegacy || op.setting != r.setting {
			return r, saw{outcome: refused, status: statusNewer}
		}
		r.choice[op.service] = choiceOf(op.inbox)
	case opAsk:
	}
	return r, ok
}

// registryModel judges the log of one citizen of whom nobody knew anything before.
var registryModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{registry{}} },
	Step: func(state, in, out any) []any {
		r, op, a := state.(registry), in.(operation), out.(saw)
		next, want := r.apply(op)
		switch {
		case a.outcome == unknown && next == r:
			return []any{r}
		case a.outcome == unknown: // it happened, or never will
			return []any{r, next}
		case a != want:
			return nil
		}
		return []any{next}
	},
	Equal: func(a, b any) bool { return a == b },
}).ToModel()

// markModel judges what was done with one message, by whoever had a session.
var markModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{status{}} },
	Step: func(state, in, out any) []any {
		s, a := state.(status), out.(saw)
		next := s.after(in.(operation))
		switch {
		case a.outcome == unknown && next == s:
			return []any{s}
		case a.outcome == unknown:
			return []any{s, next}
		case a.mark != next:
			return nil
		}
		return []any{next}
	},
	Equal: func(a, b any) bool { return a == b },
}).ToModel()

// part is what of a log is judged by itself.
type part struct {
	model porcupine.Model
	log   []porcupine.Operation
}

// parts takes the statuses of messages out of a log: each message's is an object of its own, of
// which the registry has no more than that a mark took a session. Judged together, marks of unknown
// outcome would multiply what the judge has to think of.
func parts(log []porcupine.Operation) []part {
	all := make([]part, 1+marked)
	all[0].model = registryModel
	for i := range marked {
		all[1+i].model = markModel
	}
	for _, o := range log {
		op, a := o.Input.(operation), o.Output.(saw)
		if op.kind != opMark && op.kind != opLook {
			all[0].log = append(all[0].log, o)
			continue
		}
		if a.outcome != refused {
			all[1+op.message].log = append(all[1+op.message].log, o)
		}
		if a.outcome != unknown {
			o.Input = operation{kind: opAsk, session: op.session}
			o.Output = saw{outcome: a.outcome, status: a.status}
			all[0].log = append(all[0].log, o)
		}
	}
	return all
}

// linearizable judges a log. Too many operations of unknown outcome can take longer than wait:
// then the answer is porcupine.Unknown. Of a log that is not linearizable why names the first
// operation that has no place.
func linearizable(log []porcupine.Operation, wait time.Duration) (
	result porcupine.CheckResult, why string) {
	result = porcupine.Ok
	for _, p := range parts(bounded(log)) {
		switch porcupine.CheckOperationsTimeout(p.model, p.log, wait) {
		case porcupine.Illegal:
			return porcupine.Illegal, p.why(wait)
		case porcupine.Unknown:
			result = porcupine.Unknown
		}
	}
	return result, ""
}

// why names the operation of a log that is not linearizable that has no place.
func (p part) why(wait time.Duration) string {
	_, info := porcupine.CheckOperationsVerbose(p.model, p.log, wait)
	var longest []porcupine.Operation
	for _, partial := range info.PartialLinearizationsOperations() {
		for _, p := range partial {
			if len(p) > len(longest) {
				longest = p
			}
		}
	}
	return p.firstWithout(longest)
}

// firstWithout describes the operation that began first of those that ended and are not in the
// longest order found, and what the registry was before it.
func (p part) firstWithout(order []porcupine.Operation) string {
	placed := map[int]bool{}
	states := p.model.Init()
	for _, o := range order {
		placed[o.ClientId] = true
		_, states = p.model.Step(states, o.Input, o.Output)
	}
	var first *porcupine.Operation
	for i := range p.log {
		o := &p.log[i]
		if !placed[o.ClientId] && o.Return != int64(forever) &&
			(first == nil || o.Return < first.Return) {
			first = o
		}
	}
	if first == nil {
		return "no order was found"
	}
	return fmt.Sprintf("at %.3fs to %.3fs: %+v answered %+v, where the registry is one of %+v",
		time.Duration(first.Call).Seconds(), time.Duration(first.Return).Seconds(), first.Input,
		first.Output, states)
}
