package institution

import "github.com/staffetta/staffetta/wire"

// A verdict stands in headers of ours. The contract's answers have no place for it: strict
// clients, Jackson's default among them, throw on a member that they do not know, after the
// message is delivered, and send it again.
const (
	// StatusHeader has the verdict's status: PROCESSED, REJECTED, THROTTLED, FAILED.
	StatusHeader = "Staffetta-Status"
	// ReasonHeader has, of a rejection, its reason.
	ReasonHeader = "Staffetta-Rejection-Reason"
	// PreferHeader with PreferVerdict asks for both in the answer's body too (RFC 7240, 4.2).
	PreferHeader  = "Prefer"
	PreferVerdict = "return=representation"
)

// statusValues are the values of StatusHeader, made once: a verdict is told with every answer.
var statusValues = func() (list [256][]string) { // whatever a newer owner may say
	for s := range list {
		list[s] = []string{wire.Status(s).String()}
	}
	return list
}()

// tellVerdict sets the headers that tell a verdict.
func (c *call) tellVerdict(v wire.Verdict) {
	h := c.W.Header()
	h[StatusHeader] = statusValues[v.Status]
	if v.Status == wire.Rejected {
		h[ReasonHeader] = []string{reason(v)}
	}
	if c.unserved != "" {
		h[UnservedHeader] = []string{c.unserved}
	}
}

// appendVerdict appends the members of an answer that tell a verdict.
func appendVerdict(b []byte, v wire.Verdict) []byte {
	b = append(append(b, `,"status":"`...), v.Status.String()...)
	if v.Status == wire.Rejected {
		b = append(append(b, `","rejection_reason":"`...), reason(v)...)
	}
	return append(b, '"')
}

// reason is a rejection's reason; the contract has a word for one that has no name here.
func reason(v wire.Verdict) string {
	if s := v.Reason.String(); s != "" {
		return s
	}
	return "UNKNOWN"
}
