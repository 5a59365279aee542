package citizen

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// federation is a Relay with the semantics of regions, in memory: what the contract says of
// sessions, profiles, preferences and inboxes. Every call travels as bytes.
type federation struct {
	hasher *wire.Hasher
	home   wire.RegionID

	mu       sync.Mutex
	regions  []wire.Region
	citizens map[fiscalcode.Code]*citizen
	sessions map[wire.TokenHash]wire.Session
	services map[wire.ServiceID]*wire.ServiceAccess
	remotes  map[wire.RemoteContentID]*wire.RemoteContent
	calls    map[wire.Method]int
	// fault, when it is not nil, may fail a call before it is applied, or after.
	fault func(m wire.Method, applied bool) error
	// away, when it is not nil, is called before a region is.
	away func(region wire.RegionID)
	// deaf makes RegionOf and ServiceByID fail; slow makes ServiceByID wait for its caller's end.
	deaf   error
	slow   bool
	before bool // regions are of a version before sets of sessions
	asking int  // ServiceByID calls under way
	most   int  // and the most there were
}

type citizen struct {
	owner       wire.RegionID
	left        map[wire.RegionID]next // where the citizen moved from there
	to          wire.RegionID          // a move there is under way
	profile     wire.Profile
	preferences map[wire.ServiceID]wire.Preference
	deleted     []wire.MessageID
	inbox       []wire.InboxMessage // any order
	lock        wire.Proof
	passes      int // how many messages a list passes over; 0: any
}

const (
	serviceA = wire.ServiceID("01GQQDPM127KFGG6T3660D5TXD")
	serviceB = wire.ServiceID("01GQQDPM127KFGG6T3660D5TXE")
	payeeA   = wire.InstitutionID("01234567890")
)

func newFederation() *federation {
	return &federation{
		hasher: wire.NewHasher(wire.DirectoryKey{1}), home: "lazio",
		regions: []wire.Region{{ID: "lazio", Tag: 0}, {ID: "sicilia", Tag: 1023},
			{ID: "veneto", Tag: 7}},
		citizens: map[fiscalcode.Code]*citizen{},
		sessions: map[wire.TokenHash]wire.Session{},
		calls:    map[wire.Method]int{},
		services: map[wire.ServiceID]*wire.ServiceAccess{
			serviceA: {Service: wire.Service{ID: serviceA, Institution: payeeA, Name: "Anagrafe"},
				Institution: wire.Institution{ID: payeeA, Name: "Comune di Prova"}},
			serviceB: {Service: wire.Service{ID: serviceB, Institution: payeeA, Name: "Tributi"},
				Institution: wire.Institution{ID: payeeA, Name: "Comune di Prova"}},
		},
	}
}

func (f *federation) Hasher() *wire.Hasher { return f.hasher }

func (f *federation) Home() wire.Region {
	r, _ := f.RegionByID(f.home)
	return r
}

func (f *federation) RegionByTag(tag wire.RegionTag) (wire.Region, bool) {
	m := wire.Map{Regions: f.regions}
	return m.RegionByTag(tag)
}

func (f *federation) RegionByID(id wire.RegionID) (wire.Region, bool) {
	m := wire.Map{Regions: f.regions}
	return m.RegionByID(id)
}

func (f *federation) RegionOf(_ context.Context, code fiscalcode.Code) (wire.RegionID, bool,
	error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deaf != nil {
		return "", false, f.deaf
	}
	if c := f.citizens[code]; c != nil {
		return c.owner, true, nil
	}
	return "veneto", false, nil // an anchor
}

func (f *federation) ServiceByID(ctx context.Context, id wire.ServiceID) (*wire.ServiceAccess,
	error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asking++
	f.most = max(f.most, f.asking)
	defer func() { f.asking-- }()
	if f.slow {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return nil, ctx.Err()
	}
	if f.deaf != nil {
		return nil, f.deaf
	}
	if s := f.services[id]; s != nil {
		return s, nil
	}
	return nil, wire.NotFound
}

func (f *federation) RemoteContent(_ context.Context, id wire.RemoteContentID) (
	*wire.RemoteContent, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deaf != nil {
		return nil, f.deaf
	}
	if c := f.remotes[id]; c != nil {
		return c, nil
	}
	return nil, wire.NotFound
}

func (f *federation) Catalogue(context.Context) (*wire.CataloguePage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deaf != nil {
		return nil, f.deaf
	}
	page := &wire.CataloguePage{}
	seen := map[wire.InstitutionID]bool{}
	for _, s := range f.services {
		page.Services = append(page.Services, wire.CatalogueService{ID: s.Service.ID,
			Institution: s.Institution.ID, Name: s.Service.Name, Scope: s.Service.Metadata.Scope,
			Version: s.Service.Version})
		if !seen[s.Institution.ID] {
			seen[s.Institution.ID] = true
			page.Institutions = append(page.Institutions,
				wire.CatalogueInstitution{ID: s.Institution.ID, Name: s.Institution.Name})
		}
	}
	return page, nil
}

func (f *federation) CallRegion(ctx context.Context, region wire.RegionID, m wire.Method,
	req, resp codec.Message) error {
	if f.away != nil {
		f.away(region)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[m]++
	if ctx.Err() != nil {
		return wire.Errorf(wire.OutcomeUnknown, "the caller left")
	}
	if f.fault != nil {
		if err := f.fault(m, false); err != nil {
			return err
		}
	}
	answer, err := f.apply(region, m, wire.Encode(req))
	if err != nil {
		return wire.AsError(err)
	}
	if f.fault != nil {
		if err := f.fault(m, true); err != nil {
			return err
		}
	}
	if answer == nil || resp == nil {
		return nil
	}
	return wire.Decode(wire.Encode(answer), resp)
}

func decode[T any, P interface {
	*T
	codec.Message
}](b []byte) (T, error) {
	var v T
	err := wire.Decode(b, P(&v))
	return v, err
}

func (f *federation) apply(region wire.RegionID, m wire.Method, b []byte) (codec.Message, error) {
	switch m {
	case wire.MethodLogin:
		l, err := decode[wire.Login](b)
		if err != nil {
			return nil, err
		}
		return f.login(region, wire.OpenSession{Session: l.Session, Email: l.Email,
			DateOfBirth: l.DateOfBirth, One: true})
	case wire.MethodOpenSession:
		o, err := decode[wire.OpenSession](b)
		if err == nil && f.before {
			err = wire.UnknownKind
		}
		if err != nil {
			return nil, err
		}
		if c := f.citizens[o.Session.FiscalCode]; c != nil && c.lock != (wire.Proof{}) &&
			o.Session.Level < wire.Level3 {
			return nil, wire.Locked
		}
		return f.login(region, o)
	case wire.MethodUnlockAccess:
		q, err := decode[wire.UnlockAccess](b)
		if err != nil {
			return nil, err
		}
		return f.unlock(&q)
	case wire.MethodLogout:
		l, err := decode[wire.Logout](b)
		delete(f.sessions, l.Token)
		return nil, err
	}
	// Every other request begins with the session's token.
	ref, err := decode[wire.SessionRef](b)
	if err != nil {
		return nil, err
	}
	s, ok := f.sessions[ref.Token]
	if !ok || s.ExpiresAt <= wire.TimeOf(time.Now()) {
		return nil, wire.Unauthenticated
	}
	c := f.citizens[s.FiscalCode]
	if n, ok := c.left[region]; ok && c.owner != region {
		return nil, &wire.Error{Code: wire.Moved, Region: n.region, Epoch: n.epoch}
	}
	if c.owner != region {
		return nil, wire.Unauthenticated
	}
	switch m {
	case wire.MethodGetSession:
		return &s, nil
	case wire.MethodLockAccess:
		q, _ := decode[wire.LockAccess](b)
		if c.lock != (wire.Proof{}) {
			return nil, wire.Conflict
		}
		c.lock = q.Proof
		return f.endSessions(&s, wire.EndSessions{})
	case wire.MethodAccessState:
		return &wire.AccessState{Locked: c.lock != wire.Proof{}}, nil
	case wire.MethodListSessions:
		return f.listSessions(&s), nil
	case wire.MethodEndSessions:
		q, _ := decode[wire.EndSessions](b)
		return f.endSessions(&s, q)
	case wire.MethodGetMove:
		return c.move(), nil
	case wire.MethodMove:
		q, _ := decode[wire.MoveIntent](b)
		if c.to != "" && c.to != q.To {
			return nil, wire.Errorf(wire.Conflict, "A move to %s is under way.", c.to)
		}
		if q.To != c.owner {
			c.to = q.To
		}
		return c.move(), nil
	case wire.MethodGetProfile:
		return &c.profile, nil
	case wire.MethodSetProfile:
		q, _ := decode[wire.SetProfile](b)
		return c.setProfile(q.Update)
	case wire.MethodGetPreference:
		q, _ := decode[wire.GetPreference](b)
		return c.preference(q.Service)
	case wire.MethodSetPreference:
		q, _ := decode[wire.SetPreference](b)
		return c.setPreference(q.Preference)
	case wire.MethodListInbox:
		q, _ := decode[wire.ListInbox](b)
		return c.list(q), nil
	case wire.MethodGetInbox:
		q, _ := decode[wire.GetInbox](b)
		for i := range c.inbox {
			if c.inbox[i].Item.ID == q.ID {
				return &c.inbox[i], nil
			}
		}
		return nil, wire.NotFound
	case wire.MethodSetMessageStatus:
		q, _ := decode[wire.SetMessageStatus](b)
		return c.setStatus(q)
	case wire.MethodDeleteMessage:
		q, _ := decode[wire.DeleteMessage](b)
		return c.delete(q)
	case wire.MethodSearchInbox:
		q, _ := decode[wire.SearchInbox](b)
		return c.search(q), nil
	case wire.MethodCountMessages:
		return c.count(), nil
	}
	return nil, wire.UnknownKind
}

// next is where a region says that a citizen moved.
type next struct {
	region wire.RegionID
	epoch  wire.Epoch
}

func (c *citizen) move() *wire.Move {
	m := &wire.Move{Region: c.owner, To: c.to}
	if c.to != "" {
		m.State = wire.MoveIntended
	}
	return m
}

// fence makes the citizen's region hand over: it names no other until arrive.
func (f *federation) fence(code fiscalcode.Code) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.citizens[code]
	if c.left == nil {
		c.left = map[wire.RegionID]next{}
	}
	c.left[c.owner] = next{}
	c.owner = ""
}

// arrive ends a move out of a region that fenced.
func (f *federation) arrive(code fiscalcode.Code, from, to wire.RegionID, epoch wire.Epoch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.citizens[code]
	c.left[from] = next{to, epoch}
	c.owner, c.to = to, ""
}

// unlock opens the lock of the session's citizen, or of the recipient's.
func (f *federation) unlock(q *wire.UnlockAccess) (codec.Message, error) {
	s, under := f.sessions[q.Token]
	for code, c := range f.citizens {
		if under && code != s.FiscalCode || !under && f.hasher.Recipient(code) != q.Recipient {
			continue
		}
		if c.lock == q.Proof || under && s.Level == wire.Level3 {
			c.lock = wire.Proof{}
		}
		return &wire.AccessState{Locked: c.lock != wire.Proof{}}, nil
	}
	if q.Recipient.IsZero() {
		return nil, wire.Unauthenticated
	}
	return nil, wire.NotFound
}

func (f *federation) listSessions(own *wire.Session) *wire.SessionList {
	list := &wire.SessionList{}
	for token, t := range f.sessions {
		if t.FiscalCode == own.FiscalCode {
			list.List = append(list.List, wire.SessionView{ID: t.PublicID(), Device: t.Device,
				Provider: t.Provider, Level: t.Level, CreatedAt: t.CreatedAt, EndsAt: t.End(),
				HasKey: t.Key != "", Current: token == own.Token})
		}
	}
	slices.SortFunc(list.List, func(a, b wire.SessionView) int {
		return cmp.Compare(a.CreatedAt, b.CreatedAt)
	})
	return list
}

func (f *federation) endSessions(own *wire.Session, q wire.EndSessions) (codec.Message, error) {
	ended := &wire.EndedSessions{}
	for token, t := range f.sessions {
		if t.FiscalCode != own.FiscalCode || q.ID != (wire.SessionID{}) && t.PublicID() != q.ID ||
			q.KeepOwn && token == own.Token {
			continue
		}
		delete(f.sessions, token)
		ended.Count++
	}
	if ended.Count == 0 && q.ID != (wire.SessionID{}) {
		return nil, wire.NotFound
	}
	return ended, nil
}

func (f *federation) login(region wire.RegionID, l wire.OpenSession) (codec.Message, error) {
	s := l.Session
	c := f.citizens[s.FiscalCode]
	if c != nil && c.owner != region {
		return nil, &wire.Error{Code: wire.Moved, Region: c.owner, Epoch: 1}
	}
	if c == nil {
		c = &citizen{owner: region, preferences: map[wire.ServiceID]wire.Preference{},
			profile: wire.Profile{FiscalCode: s.FiscalCode, Name: s.Name, FamilyName: s.FamilyName,
				Email: l.Email, SpidEmail: l.Email, DateOfBirth: l.DateOfBirth,
				SettingsVersion: -1}}
		f.citizens[s.FiscalCode] = c
	}
	for token, other := range f.sessions {
		if l.One && other.FiscalCode == s.FiscalCode && token != s.Token {
			delete(f.sessions, token)
		}
	}
	f.sessions[s.Token] = s
	return &s, nil
}

func (c *citizen) setProfile(u wire.ProfileUpdate) (codec.Message, error) {
	p := &c.profile
	if u.Version != p.Version {
		return nil, wire.Errorf(wire.Conflict, "Version %d is not the latest version.", u.Version)
	}
	if u.SetMode && u.Mode == wire.Legacy && p.Mode != wire.Legacy {
		return nil, wire.Errorf(wire.Conflict, "The mode cannot return to LEGACY.")
	}
	set := func(v *bool, t wire.Tri) {
		if t != wire.Unset {
			*v = t == wire.Yes
		}
	}
	set(&p.InboxEnabled, u.Inbox)
	set(&p.WebhookEnabled, u.Webhook)
	set(&p.EmailEnabled, u.EmailOn)
	if u.Email != "" && u.Email != p.Email {
		p.Email, p.EmailValidated = u.Email, false
	}
	if u.AcceptedTos != 0 {
		if p.AcceptedTos == 0 {
			p.InboxEnabled, p.WebhookEnabled = true, true
		}
		p.AcceptedTos = u.AcceptedTos
	}
	if u.SetLanguages {
		p.Languages = u.Languages
	}
	if u.SetBlocked {
		p.Blocked = u.Blocked
	}
	if u.SetMode && u.Mode != p.Mode {
		p.Mode, p.SettingsVersion, p.Blocked = u.Mode, p.SettingsVersion+1, nil
		clear(c.preferences)
	}
	p.Reminder, p.PushContent, p.LastAppVersion = u.Reminder, u.PushContent, u.LastAppVersion
	p.Version++
	return p, nil
}

func (c *citizen) preference(id wire.ServiceID) (codec.Message, error) {
	if c.profile.Mode == wire.Legacy {
		return nil, wire.Conflict
	}
	if p, ok := c.preferences[id]; ok {
		return &p, nil
	}
	on := c.profile.Mode == wire.Auto
	return &wire.Preference{Service: id, SettingsVersion: c.profile.SettingsVersion, Inbox: on,
		Email: on, Webhook: on}, nil
}

func (c *citizen) setPreference(p wire.Preference) (codec.Message, error) {
	if c.profile.Mode == wire.Legacy || p.SettingsVersion != c.profile.SettingsVersion {
		return nil, wire.Errorf(wire.Conflict, "The settings version is %d.",
			c.profile.SettingsVersion)
	}
	c.preferences[p.Service] = p
	return &p, nil
}

func (c *citizen) setStatus(q wire.SetMessageStatus) (codec.Message, error) {
	if !q.Read && q.Archived == wire.Unset {
		return nil, wire.Malformedf("no change of a message's status")
	}
	for i := range c.inbox {
		item := &c.inbox[i].Item
		if item.ID != q.ID {
			continue
		}
		item.Read = item.Read || q.Read
		if q.Archived != wire.Unset {
			item.Archived = q.Archived == wire.Yes
		}
		return &wire.MessageStatus{Read: item.Read, Archived: item.Archived}, nil
	}
	return nil, wire.NotFound
}

func (c *citizen) delete(q wire.DeleteMessage) (codec.Message, error) {
	for i := range c.inbox {
		if c.inbox[i].Item.ID == q.ID {
			c.inbox = slices.Delete(c.inbox, i, i+1)
			c.deleted = append(c.deleted, q.ID)
			return nil, nil
		}
	}
	if slices.Contains(c.deleted, q.ID) {
		return nil, nil
	}
	return nil, wire.NotFound
}

func (c *citizen) search(q wire.SearchInbox) *wire.InboxPage {
	page := c.list(wire.ListInbox{Size: wire.PageMax, Before: q.Before})
	page.Items = slices.DeleteFunc(page.Items, func(i wire.InboxItem) bool {
		return !strings.Contains(i.Subject, q.Query)
	})
	if page.More = len(page.Items) > int(q.Size); page.More {
		page.Items = page.Items[:q.Size]
	}
	return page
}

func (c *citizen) count() *wire.MessageCounts {
	n := new(wire.MessageCounts)
	for i := range c.inbox {
		switch item := &c.inbox[i].Item; {
		case item.Archived:
			n.Archived++
		case item.Read:
			n.Inbox++
		default:
			n.Inbox++
			n.Unread++
		}
	}
	return n
}

func (c *citizen) list(q wire.ListInbox) *wire.InboxPage {
	page := &wire.InboxPage{FiscalCode: c.profile.FiscalCode}
	sorted := slices.SortedFunc(slices.Values(c.inbox), func(a, b wire.InboxMessage) int {
		return strings.Compare(string(b.Item.ID[:]), string(a.Item.ID[:]))
	})
	passed := 0
	for _, m := range sorted {
		id := string(m.Item.ID[:])
		if id <= string(q.After[:]) || !q.Before.IsZero() && id >= string(q.Before[:]) {
			continue
		}
		if !q.Shows(wire.MessageStatus{Read: m.Item.Read, Archived: m.Item.Archived}) {
			if passed++; passed == c.passes {
				page.More, page.Before = true, m.Item.ID
				break
			}
			continue
		}
		if len(page.Items) == int(q.Size) {
			page.More = true
			break
		}
		page.Items = append(page.Items, m.Item)
	}
	return page
}

// deliver puts a message into an inbox, as the region's apply would.
func (f *federation) deliver(code fiscalcode.Code, m wire.InboxMessage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.citizens[code]
	if c == nil {
		panic(fmt.Sprintf("no such citizen among %d", len(f.citizens)))
	}
	m.FiscalCode = code
	c.inbox = append(c.inbox, m)
}
