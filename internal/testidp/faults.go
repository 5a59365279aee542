package testidp

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Fault is a way to be wrong. The zero Fault is none.
type Fault string

// Those that are about one login: it is chosen with the citizen.
const (
	WrongState      Fault = "state"
	WrongNonce      Fault = "nonce"
	NoNonce         Fault = "no-nonce"
	WrongIssuer     Fault = "iss"        // in the ID token
	MixUp           Fault = "mix-up"     // in the answer
	NoIssuer        Fault = "no-iss"     // in the answer, though it is announced
	WrongAudience   Fault = "aud"        //
	ManyAudiences   Fault = "aud-many"   // and nobody whom it was issued to
	WrongParty      Fault = "azp"        //
	Expired         Fault = "expired"    //
	NoExpiry        Fault = "no-exp"     //
	NotYet          Fault = "not-yet"    //
	Future          Fault = "future"     // issued in it
	Old             Fault = "old"        // issued long ago, and not expired
	Replayed        Fault = "replayed"   // the ID token of the login before
	Unsigned        Fault = "unsigned"   // the signature is cut off
	None            Fault = "none"       // alg: none
	HMAC            Fault = "hmac"       // with the public key as the secret
	Foreign         Fault = "foreign"    // the key of another provider, under its own name
	Forged          Fault = "forged"     // the key of another provider, under this one's name
	Embedded        Fault = "jwk"        // a key that the token itself brings
	Critical        Fault = "crit"       // a header that has to be understood
	Twice           Fault = "twice"      // a claim that is given twice
	WrongHash       Fault = "at-hash"    //
	LevelBelow      Fault = "level"      //
	NoLevel         Fault = "no-level"   //
	Company         Fault = "vatit"      // VATIT- in place of TINIT-
	CompanyOnly     Fault = "company"    // attributes of a company, and none of a person
	Eleven          Fault = "11-digits"  //
	NoPrefix        Fault = "no-tinit"   //
	LowerCase       Fault = "lower-case" //
	LookAlike       Fault = "look-alike" // a letter of Unicode that folds into one of the code
	Minor           Fault = "minor"      // born thirteen years ago
	NoBirth         Fault = "no-birth"   //
	OtherSubject    Fault = "sub"        // at userinfo
	WrongKey        Fault = "wrong-key"  // userinfo is encrypted to another key
	PlainUserinfo   Fault = "plain"      // userinfo is not signed
	Denied          Fault = "denied"     // access_denied
	CodeTwice       Fault = "code-twice" // two codes in the answer
	UserinfoForeign Fault = "userinfo-foreign"
)

// Those that are about a server's answers: see Provider.Break.
const (
	Slow     Fault = "slow"     // it never ends
	Huge     Fault = "huge"     // it is larger than anybody reads
	Garbage  Fault = "garbage"  // no JSON
	Down     Fault = "down"     // 503
	Redirect Fault = "redirect" // to another place
)

// Faults are those of one login.
func Faults() []Fault {
	return slices.Sorted(maps.Keys(map[Fault]bool{WrongState: true, WrongNonce: true,
		NoNonce: true, WrongIssuer: true, MixUp: true, NoIssuer: true, WrongAudience: true,
		ManyAudiences: true, WrongParty: true, Expired: true, NoExpiry: true, NotYet: true,
		Future: true, Old: true, Replayed: true, Unsigned: true, None: true, HMAC: true,
		Foreign: true, Forged: true, Embedded: true, Critical: true, Twice: true, WrongHash: true,
		LevelBelow: true, NoLevel: true, Company: true, CompanyOnly: true, Eleven: true,
		NoPrefix: true, LowerCase: true, LookAlike: true, Minor: true, NoBirth: true,
		OtherSubject: true, WrongKey: true, PlainUserinfo: true, Denied: true, CodeTwice: true,
		UserinfoForeign: true}))
}

// answer is what the browser brings back.
func (f Fault) answer(q url.Values) {
	switch f {
	case WrongState:
		q.Set("state", strings.Repeat("0", 64))
	case MixUp:
		q.Set("iss", "https://another.example")
	case NoIssuer:
		q.Del("iss")
	case Denied:
		q.Del("code")
		q.Set("error", "access_denied")
	case CodeTwice:
		q.Add("code", "another")
	}
}

// idToken changes the claims of an ID token.
func (f Fault) idToken(c map[string]any, now time.Time) {
	switch f {
	case WrongNonce:
		c["nonce"] = strings.Repeat("0", 64)
	case NoNonce:
		delete(c, "nonce")
	case WrongIssuer:
		c["iss"] = "https://another.example"
	case WrongAudience:
		c["aud"] = "https://another.example"
	case ManyAudiences:
		c["aud"] = []any{c["aud"], "https://another.example"}
	case WrongParty:
		c["azp"] = "https://another.example"
	case Expired:
		c["exp"] = now.Add(-5 * time.Minute).Unix()
	case NoExpiry:
		delete(c, "exp")
	case NotYet:
		c["nbf"] = now.Add(5 * time.Minute).Unix()
	case Future:
		c["iat"] = now.Add(5 * time.Minute).Unix()
	case Old:
		c["iat"] = now.Add(-time.Hour).Unix()
	case WrongHash:
		c["at_hash"] = strings.Repeat("A", 22)
	case LevelBelow:
		c["acr"] = "https://www.spid.gov.it/SpidL1"
	case NoLevel:
		delete(c, "acr")
	}
}

const attributes = "https://attributes.eid.gov.it/"

// person changes what is said of a person.
func (f Fault) person(c map[string]any, now time.Time) {
	number, _ := c[attributes+"fiscal_number"].(string)
	code := strings.TrimPrefix(number, "TINIT-")
	set := func(s string) { c[attributes+"fiscal_number"] = s }
	switch f {
	case Company:
		set("VATIT-" + code)
	case CompanyOnly:
		delete(c, attributes+"fiscal_number")
		c[attributes+"company_fiscal_number"], c[attributes+"vat_number"] = number, "VATIT-01234567890"
		c[attributes+"company_name"] = "Una Srl"
	case Eleven:
		set("TINIT-01234567890")
	case NoPrefix:
		set(code)
	case LowerCase:
		set("TINIT-" + strings.ToLower(code))
	case LookAlike:
		set("TINIT-" + strings.NewReplacer("S", "\u017f", "I", "\u0131", "K", "\u212a", "A",
			"\u0391", "M", "\u041c", "R", "\u13a1", "C", "\u0421").Replace(code))
	case Minor:
		c["birthdate"] = now.AddDate(-13, 0, 0).Format(time.DateOnly)
	case NoBirth:
		delete(c, "birthdate")
	}
}
