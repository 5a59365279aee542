package identity

import "errors"

// Reason is why a login was refused.
type Reason string

// The reasons. Those of a provider's answer in SPID's protocol have SPID's numbers.
const (
	// Young: the person is below the least age.
	Young Reason = "young"
	// Locked: the person has locked access, and this login's level does not open it.
	Locked Reason = "locked"
	// Stray: the browser that ends the login is not the one that began it, or began it too long ago.
	Stray Reason = "stray"
	// Another: a login again was asked of one person, and another one came.
	Another Reason = "another-person"
	// NotPerson: what was asserted is no natural person's fiscal code.
	NotPerson Reason = "not-a-person"
	// Incomplete: an attribute that is needed is not there, or is none.
	Incomplete Reason = "incomplete"
	// Weak: the level is below the one that was asked for, unknown, or not said.
	Weak Reason = "level"
	// Invalid: the answer is not what the provider would have said to this login: a signature, an
	// audience, a time, a nonce.
	Invalid Reason = "invalid"
	// Denied: the provider says that it does not vouch, for a reason that has no name here.
	Denied Reason = "denied"
	// Away: the provider, or what it has to publish, cannot be reached now.
	Away Reason = "away"

	Credentials Reason = "nr19" // wrong credentials, too many times
	NoLevel     Reason = "nr20" // the person has no credentials of the level
	Timeout     Reason = "nr21" // the person took too long
	NoConsent   Reason = "nr22" // the person did not consent to what is passed on
	Suspended   Reason = "nr23" // the identity is suspended, or its credentials are blocked
	Cancelled   Reason = "nr25" // the person cancelled
)

// codes are the numbers that the app's contract has for reasons.
var codes = map[Reason]int{
	Credentials: 19, NoLevel: 20, Timeout: 21, NoConsent: 22, Suspended: 23, Cancelled: 25,
	Young: 1001, Locked: 1002, Stray: 1003, Another: 1004,
}

// Refusal is a login that was refused.
type Refusal struct {
	Reason Reason
	// Detail says what was wrong, for the operator's log. It names fields and never holds what a
	// field of a person holds.
	Detail string
}

// Refuse makes a Refusal.
func Refuse(reason Reason, detail string) *Refusal { return &Refusal{reason, detail} }

// Error is error's.
func (r *Refusal) Error() string {
	if r.Detail == "" {
		return "login refused: " + string(r.Reason)
	}
	return "login refused: " + string(r.Reason) + ": " + r.Detail
}

// Code is the number that the app's contract has for the reason; 0: none.
func (r *Refusal) Code() int { return codes[r.Reason] }

// AsRefusal is err as a Refusal: what is none is a provider that did not do what it should.
func AsRefusal(err error) *Refusal {
	if r := (*Refusal)(nil); errors.As(err, &r) {
		return r
	}
	return Refuse(Away, "the provider failed")
}
