package identity

import (
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
)

// Identity is a natural person whom a provider vouches for, as Rules.Accept accepted it.
type Identity struct {
	Code        fiscalcode.Code
	Name        string
	FamilyName  string
	DateOfBirth string // YYYY-MM-DD; empty where no age is asked for and none was said
	Email       string // empty where none was said
	Level       Level
	Provider    string // the ID of the provider's Info
	Kind        Kind
	Evidence    Evidence
}

// Assertion is what a provider says of a person. Its source, its freshness and that it answers
// this login are the Provider's to have checked; its values are as they came.
type Assertion struct {
	// FiscalNumber with its prefix: TINIT- and a code.
	FiscalNumber string
	Name         string
	FamilyName   string
	DateOfBirth  string
	Email        string
	// Level is the URL of the level that was reached.
	Level    string
	Evidence Evidence
}

// Evidence is what the register of logins keeps of a login: enough to find it again at the
// provider, and to show what was said.
type Evidence struct {
	Issuer     string // who vouches, as the protocol names it
	Subject    string // whom it means, as the protocol names it
	RequestID  string
	ResponseID string
	IssuedAt   time.Time // of what was said
	// Documents are what was sent and received, each signed by its author.
	Documents []Document
}

// Document is one message of a login. It holds what a citizen's data is: it is written nowhere but
// in the register of logins.
type Document struct {
	Name string // what it is: request, response, id_token, …
	Text []byte
}

// DocumentsMax bounds the documents of one login, in bytes of all together: signed answers of SPID
// have some 10 KB.
const DocumentsMax = 64 << 10
