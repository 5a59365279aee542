package wire

import "github.com/staffetta/staffetta/internal/codec"

// The bounds of the audit.
const (
	// AuditLinesMax is how many lines the federation keeps; the oldest go first. An operator who
	// makes ten changes a day fills it in years.
	AuditLinesMax = 10_000
	// AuditTextMax bounds each text of a line, in bytes: an operator's URI is the longest.
	AuditTextMax = 256
	// AuditPageMax bounds the lines of one page.
	AuditPageMax = 500
)

// Audited is an operator's change, with who made it. Both are one command, so that there is no
// change without a line, and no line that does not say what became of the change.
type Audited struct {
	Operator string // the URI of the operator's certificate
	Action   string // in the words of the command line: "service put"
	Subject  string // what it was done to, such as a service's id; may be empty
	Command  Command
	// Deadline is when the change is withdrawn, by the log's time: an entry of later changes
	// nothing. It has an effect from version 3 on; 0: none.
	Deadline Time
	// Approval names the pending request that the change carries out, which Operator approves. It has
	// an effect from version 3 on.
	Approval string
}

// Fields declares the message.
func (a *Audited) Fields(c *codec.Codec) {
	codec.String(c, 1, &a.Operator)
	codec.String(c, 2, &a.Action)
	codec.String(c, 3, &a.Subject)
	codec.Nested(c, 4, &a.Command)
	codec.Int(c, 5, &a.Deadline)
	codec.String(c, 6, &a.Approval)
}

// AuditLine says what an operator did, or tried to do.
type AuditLine struct {
	Number   uint64 // counts from 1 without gaps
	Index    uint64 // of the entry in the federation's log
	Time     Time   // of that entry
	Operator string
	Action   string
	Subject  string
	// Refused says why nothing changed; nil: the change was applied.
	Refused *Error
	// Unchanged: it was accepted, and everything was so already. Lines of below version 3 never
	// say so.
	Unchanged bool
	// Approval is the pending request that this is about: Operator asked for it, or with Asked, who
	// did, approved it.
	Approval, Asked string
}

// Fields declares the message.
func (a *AuditLine) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &a.Number)
	codec.Uint(c, 2, &a.Index)
	codec.Int(c, 3, &a.Time)
	codec.String(c, 4, &a.Operator)
	codec.String(c, 5, &a.Action)
	codec.String(c, 6, &a.Subject)
	codec.Optional(c, 7, &a.Refused)
	codec.Bool(c, 8, &a.Unchanged)
	codec.String(c, 9, &a.Approval)
	codec.String(c, 10, &a.Asked)
}

// ListAudit asks for the lines with a number above After and a time of Since or later.
type ListAudit struct {
	After uint64
	Since Time
	Limit uint32 // 0: AuditPageMax
}

// Fields declares the message.
func (q *ListAudit) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &q.After)
	codec.Int(c, 2, &q.Since)
	codec.Uint(c, 3, &q.Limit)
}

// AuditPage answers ListAudit, oldest first. Next is the After of the page that follows; 0: there
// is none.
type AuditPage struct {
	Lines []AuditLine
	Next  uint64
	// Dropped is how many lines there were before the oldest that is kept.
	Dropped uint64
	Fresh   Freshness
}

// Fields declares the message.
func (p *AuditPage) Fields(c *codec.Codec) {
	codec.Repeated(c, 1, &p.Lines)
	codec.Uint(c, 2, &p.Next)
	codec.Uint(c, 3, &p.Dropped)
	codec.Nested(c, 4, &p.Fresh)
}

// Freshness says how old an answer from a replica of the federation may be.
type Freshness struct {
	Node  NodeID
	Index uint64 // of the federation's log
	// ContactMillis is how long ago the replica last heard from the federation's leader.
	ContactMillis uint64
}

// Fields declares the message.
func (f *Freshness) Fields(c *codec.Codec) {
	codec.String(c, 1, &f.Node)
	codec.Uint(c, 2, &f.Index)
	codec.Uint(c, 3, &f.ContactMillis)
}

// RegistryPageMax bounds the institutions or services of one page, RegistryPageBytesMax their
// encoded size: a service with everything at its bounds has some 200 KiB.
const (
	RegistryPageMax      = 500
	RegistryPageBytesMax = 1 << 20
)

// ListRegistry asks for institutions, or services, in order of their ids.
type ListRegistry struct {
	After string // an id; the first page has none
	// Institution: only this one, or only its services; empty: all.
	Institution InstitutionID
	Limit       uint32 // 0: RegistryPageMax
}

// Fields declares the message.
func (q *ListRegistry) Fields(c *codec.Codec) {
	codec.String(c, 1, &q.After)
	codec.String(c, 2, &q.Institution)
	codec.Uint(c, 3, &q.Limit)
}

// InstitutionPage answers ListRegistry. Next is the After of the page that follows; empty: there
// is none.
type InstitutionPage struct {
	List  []Institution
	Next  string
	Fresh Freshness
}

// Fields declares the message.
func (p *InstitutionPage) Fields(c *codec.Codec) {
	codec.Repeated(c, 1, &p.List)
	codec.String(c, 2, &p.Next)
	codec.Nested(c, 3, &p.Fresh)
}

// ServicePage answers ListRegistry, as InstitutionPage does. The services come without their
// authorized recipients, which MethodServiceByID has.
type ServicePage struct {
	List  []Service
	Next  string
	Fresh Freshness
}

// Fields declares the message.
func (p *ServicePage) Fields(c *codec.Codec) {
	codec.Repeated(c, 1, &p.List)
	codec.String(c, 2, &p.Next)
	codec.Nested(c, 3, &p.Fresh)
}

// AuditSubject names the institution in the audit.
func (i *Institution) AuditSubject() string { return string(i.ID) }

// AuditSubject names the service in the audit.
func (s *Service) AuditSubject() string { return string(s.ID) }

// AuditSubject names the service and which of its keys in the audit.
func (s *SetKey) AuditSubject() string { return string(s.Service) + " " + s.Name.String() }

// String is the key's name on the command line.
func (k KeyName) String() string {
	if k == PrimaryKey {
		return "primary"
	}
	return "secondary"
}
