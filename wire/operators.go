package wire

import "github.com/staffetta/staffetta/internal/codec"

// Calls about operators themselves.
const (
	MethodWhoami Method = 145 // empty → Whoami; any node
	MethodMay    Method = 146 // May → empty; whom the call would go to
)

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
