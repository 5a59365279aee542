package wire

import (
	"time"

	"github.com/staffetta/staffetta/internal/codec"
)

const (
	// OperatorWait is how long an operator's call lasts that says nothing else: an election of the
	// leader, and more. What was not carried out by then is withdrawn.
	OperatorWait = 30 * time.Second
	// deadlineField is the number of a deadline in a request of any kind, whose own fields are far
	// below it. Who does not know it skips it.
	deadlineField = 2000
)

// deadlined is what a request of any kind has behind its own fields.
type deadlined struct{ At Time }

func (d *deadlined) Fields(c *codec.Codec) { codec.Int(c, deadlineField, &d.At) }

// WithDeadline is an operator's request that is withdrawn at a time: whoever would carry it out
// later refuses it. req is not changed.
func WithDeadline(req []byte, at Time) []byte {
	return append(req[:len(req):len(req)], Encode(&deadlined{at})...)
}

// DeadlineOf is when a request is withdrawn; 0: it says nothing of it, or is no message.
func DeadlineOf(req []byte) Time {
	var d deadlined
	if Decode(req, &d) != nil {
		return 0
	}
	return d.At
}

// Whoami answers MethodWhoami: who the operator is to the node that was asked.
type Whoami struct {
	Identity string // the spiffe:// URI
	// Grants are what the certificate allows, as the command line writes them, less what its
	// authority may not give.
	Grants []string
	// Unlimited: the certificate says nothing of grants, and allows everything until the federation
	// has come to version VersionGrants.
	Unlimited bool
	Node      NodeID
}

// Fields declares the message.
func (w *Whoami) Fields(c *codec.Codec) {
	codec.String(c, 1, &w.Identity)
	codec.Strings(c, 2, &w.Grants)
	codec.Bool(c, 3, &w.Unlimited)
	codec.String(c, 4, &w.Node)
}

// May asks whether the operator might make a call, without making it. Forbidden when not.
type May struct {
	Method  Method
	Request []byte
}

// Fields declares the message.
func (m *May) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &m.Method)
	codec.Bytes(c, 2, &m.Request)
}

// ReadNote says who reads what of citizens, in the words of the command line. It holds no fiscal
// code. The same again within some seconds is the same read.
type ReadNote struct {
	Operator string // the URI of the operator's certificate
	Action   string // "backup"
	Subject  string // what was asked for
}

// Fields declares the message.
func (n *ReadNote) Fields(c *codec.Codec) {
	codec.String(c, 1, &n.Operator)
	codec.String(c, 2, &n.Action)
	codec.String(c, 3, &n.Subject)
}

// Validate refuses texts that no line holds.
func (n *ReadNote) Validate() error {
	if n.Operator == "" || n.Action == "" {
		return Malformedf("a read without an operator or an action")
	}
	if max(len(n.Operator), len(n.Action), len(n.Subject)) > AuditTextMax {
		return Errorf(TooLarge, "a text of more than %d bytes", AuditTextMax)
	}
	return nil
}
