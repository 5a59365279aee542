package citizen

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// publicSession is the contract's PublicSession.
type publicSession struct {
	SpidLevel      string `json:"spidLevel,omitzero"`
	ExpirationDate string `json:"expirationDate,omitzero"`
	AssertionRef   string `json:"lollipopAssertionRef,omitzero"`
	WalletToken    string `json:"walletToken,omitzero"`
	MyPortalToken  string `json:"myPortalToken,omitzero"`
	BpdToken       string `json:"bpdToken,omitzero"`
	ZendeskToken   string `json:"zendeskToken,omitzero"`
	FimsToken      string `json:"fimsToken,omitzero"`
}

// fieldsPattern is the contract's list of fields: names in parentheses.
var fieldsPattern = regexp.MustCompile(`^\(([a-zA-Z]{1,32}(,[a-zA-Z]{1,32}){0,31})?\)$`)

// session tells a citizen's client about its session: everything, or the fields that it names.
// A name that is not known here is one that has no value here.
func (c *call) session() error {
	wanted, err := c.fields()
	if err != nil {
		return err
	}
	var s wire.Session
	if err := c.ask(wire.MethodGetSession, &wire.SessionRef{Token: c.token}, &s); err != nil {
		return err
	}
	value := func(name, value string) string {
		if !wanted(name) {
			return ""
		}
		return value
	}
	opaque := func(name string) string { return value(name, c.opaque(name)) }
	return c.Answer(publicSession{SpidLevel: value("spidLevel", s.Level.URL()),
		ExpirationDate: value("expirationDate", s.End().String()),
		AssertionRef:   value("lollipopAssertionRef", s.Ref),
		WalletToken:    opaque("walletToken"), MyPortalToken: opaque("myPortalToken"),
		BpdToken: opaque("bpdToken"), ZendeskToken: opaque("zendeskToken"),
		FimsToken: opaque("fimsToken")})
}

// fields reads which members are asked for.
func (c *call) fields() (wanted func(name string) bool, err error) {
	q, err := query(c.R)
	if err != nil {
		return nil, err
	}
	fields, given, err := q.one("fields")
	if err != nil || !given {
		return func(string) bool { return true }, err
	}
	if !fieldsPattern.MatchString(fields) {
		return nil, refuse(problemParameter,
			"value at fields is not a valid [list of names in parentheses]")
	}
	names := map[string]bool{}
	for _, name := range strings.Split(strings.Trim(fields, "()"), ",") {
		names[name] = true
	}
	return func(name string) bool { return names[name] }, nil
}

// opaque is a token of a platform that is not part of this federation. The app does not start
// without some of them. It is as unguessable as the session's token, of which it shows nothing, is
// stored nowhere, and opens nothing here.
func (c *call) opaque(name string) string {
	mac := hmac.New(sha256.New, []byte(c.secret))
	mac.Write([]byte("staffetta session: " + name))
	return hex.EncodeToString(mac.Sum(nil))
}

// userIdentity is the contract's UserIdentityWithTtl.
type userIdentity struct {
	Name        string          `json:"name"`
	FamilyName  string          `json:"family_name"`
	FiscalCode  fiscalcode.Code `json:"fiscal_code"`
	DateOfBirth string          `json:"date_of_birth,omitzero"`
	SpidLevel   string          `json:"spid_level"`
	SpidEmail   string          `json:"spid_email,omitzero"`
	SpidIdp     string          `json:"spid_idp,omitzero"`
	Ref         string          `json:"assertion_ref,omitzero"`
	TrackingID  string          `json:"session_tracking_id"`
	CreatedAt   int64           `json:"created_at"`
	Remaining   int64           `json:"token_remaining_ttl"`
}

// getIdentity tells who the citizen of the session is, as the provider said at the login.
func (c *call) getIdentity() error {
	var s wire.Session
	if err := c.ask(wire.MethodGetSession, &wire.SessionRef{Token: c.token}, &s); err != nil {
		return err
	}
	var p wire.Profile
	if err := c.ask(wire.MethodGetProfile, &wire.SessionRef{Token: c.token}, &p); err != nil {
		return err
	}
	return c.Answer(userIdentity{Name: s.Name, FamilyName: s.FamilyName, FiscalCode: s.FiscalCode,
		DateOfBirth: p.DateOfBirth, SpidEmail: p.SpidEmail, SpidLevel: s.Level.URL(),
		SpidIdp: s.Provider, Ref: s.Ref, TrackingID: s.PublicID().String(),
		CreatedAt: int64(s.CreatedAt),
		Remaining: max(0, int64(s.ExpiresAt.Sub(wire.TimeOf(time.Now()))/time.Second))})
}

// sessionItem is one session as its citizen sees it.
type sessionItem struct {
	ID        string `json:"id"`
	Device    string `json:"device,omitzero"`
	Provider  string `json:"provider,omitzero"`
	SpidLevel string `json:"spid_level"`
	CreatedAt string `json:"created_at"`
	ExpiresAt string `json:"expires_at"`
	Current   bool   `json:"current"`
}

type sessionItems struct {
	Items []sessionItem `json:"items"`
}

// listSessions lists the citizen's sessions, oldest first.
func (c *call) listSessions() error {
	var list wire.SessionList
	err := c.ask(wire.MethodListSessions, &wire.SessionRef{Token: c.token}, &list)
	if err != nil {
		return err
	}
	answer := sessionItems{Items: []sessionItem{}}
	for i := range list.List {
		v := &list.List[i]
		answer.Items = append(answer.Items, sessionItem{ID: v.ID.String(), Device: v.Device,
			Provider: v.Provider, SpidLevel: v.Level.URL(), CreatedAt: v.CreatedAt.String(),
			ExpiresAt: v.EndsAt.String(), Current: v.Current})
	}
	return c.Answer(answer)
}

// endSession ends one session of the citizen's, also the one that asks.
func (c *call) endSession() error {
	id, ok := wire.ParseSessionID(c.R.PathValue("session_id"))
	if !ok {
		return refuse(problemMissing, "%s", c.Op.Missing)
	}
	return c.end(&wire.EndSessions{Token: c.token, ID: id})
}

// endSessions ends all sessions of the citizen's, or all but the one that asks.
func (c *call) endSessions() error {
	q, err := query(c.R)
	if err != nil {
		return err
	}
	keep, err := q.boolean("keep_current")
	if err != nil {
		return err
	}
	return c.end(&wire.EndSessions{Token: c.token, KeepOwn: keep})
}

func (c *call) end(m *wire.EndSessions) error {
	var ended wire.EndedSessions
	if err := c.ask(wire.MethodEndSessions, m, &ended); err != nil {
		return err
	}
	return c.Answer(success{"ok"})
}

// success is the contract's SuccessResponse.
type success struct {
	Message string `json:"message"`
}

// logout ends the session. The region would accept the end of a session that does not exist; the
// contract wants 401 for it, so it is looked up first.
func (c *call) logout() error {
	var s wire.Session
	if err := c.ask(wire.MethodGetSession, &wire.SessionRef{Token: c.token}, &s); err != nil {
		return err
	}
	if err := c.ask(wire.MethodLogout, &wire.Logout{Token: c.token}, nil); err != nil {
		return err
	}
	return c.Answer(success{"ok"})
}
