package torture

import (
	"slices"

	"github.com/anishathalye/porcupine"
)

// bounded ends operations of unknown outcome as early as what others saw allows. Each of them that
// stays open to the end doubles what the judge has to think of.
//
// Most of them can happen only while something stands that never comes back: the version that an
// update names, the settings version of a preference, the session of a logout or a mark. Once an
// operation has seen that it is gone, the open one has happened, or can be anywhere as one that
// changed nothing; so it is over when the operation that saw it is. A login can always still
// happen.
func bounded(log []porcupine.Operation) []porcupine.Operation {
	log = slices.Clone(log)
	for i := range log {
		o := &log[i]
		if o.Output.(saw).outcome != unknown {
			continue
		}
		for j := range log {
			if other := &log[j]; other.Return < o.Return && other.Return > o.Call && gone(o, other) {
				o.Return = other.Return
			}
		}
	}
	return log
}

// gone reports whether other saw that what o needs is gone for good.
func gone(o, other *porcupine.Operation) bool {
	op, by, a := o.Input.(operation), other.Input.(operation), other.Output.(saw)
	if a.outcome != done {
		return false
	}
	switch op.kind {
	case opUpdate:
		return (by.kind == opUpdate || by.kind == opProfile) && a.version > op.version
	case opPreference:
		return by.kind == opChoice && a.setting > op.setting ||
			by.kind == opPreference && by.setting > op.setting
	case opMark:
		return by.message == op.message && op.archive == unset && a.mark.Read ||
			sessionGone(o, other)
	case opLogout:
		return sessionGone(o, other)
	}
	return false
}

// sessionGone reports whether other saw that the session of o has ended: who asks for something has
// the session, so another one came after it.
func sessionGone(o, other *porcupine.Operation) bool {
	op, by := o.Input.(operation), other.Input.(operation)
	return other.Call > o.Call && by.session != 0 && by.session != op.session && by.kind != opLogin
}
