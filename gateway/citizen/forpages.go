package citizen

import (
	"context"
	"errors"
	"time"

	"github.com/staffetta/staffetta/gateway/session"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// ErrCredentials is OpenTest's of a citizen who is not listed, or of another password.
var ErrCredentials = errors.New("citizen: unknown citizen or wrong password")

// OpenTest opens a session by the test login, for a page's form: the same citizens and password as
// POST /test-login has. device is what the session is called. Other errors than ErrCredentials are
// the wire's.
func (a *API) OpenTest(ctx context.Context, username, password, device string) (token string,
	err error) {
	code, err := fiscalcode.ParseLogin(username)
	if a.cfg.TestLogin == nil || err != nil {
		return "", ErrCredentials
	}
	if !a.cfg.TestLogin.admits(code, password) {
		a.logins.Count(testKind, session.Refused)
		return "", ErrCredentials
	}
	o := a.opening(code)
	o.Level, o.Device = wire.Level2, device
	token, err = a.regions.Open(ctx, a.relay, o)
	a.countOpened(err)
	if err != nil {
		return "", err
	}
	return token, nil
}

// Sender is who a message is from, as citizens are shown it.
type Sender struct {
	Service, Organization string
	Code                  wire.InstitutionID
	// Known is false where nobody could name the sender; the names are then a substitute's.
	Known bool
}

// Senders names the senders of messages, as the list of messages does, within the same bounds.
func (a *API) Senders(ctx context.Context, items []wire.InboxItem) map[wire.ServiceID]Sender {
	found := a.senders(ctx, items)
	all := make(map[wire.ServiceID]Sender, len(found))
	for id, s := range found {
		all[id] = Sender{s.service, s.organization, s.code, s.known}
	}
	return all
}

// Regions are those in which the API waits for answers: whoever else serves citizens here takes its
// places among them.
func (a *API) Regions() *session.Regions { return a.regions }

// SessionTTL is how long a session lives.
func (a *API) SessionTTL() time.Duration { return a.cfg.SessionTTL }

// Institution is an institution of the catalogue, with its services by name: shared, not to be
// changed.
type Institution struct {
	Name     string
	Services []*wire.CatalogueService
}

// Institutions returns those with a name like asked, the most like it first; of nothing asked all,
// by name. count is how many there are, of which the list has at most limit from offset on.
func (a *API) Institutions(ctx context.Context, asked string, offset, limit int) (
	list []Institution, count int, err error) {
	d, err := a.readCatalogue(ctx)
	if err != nil {
		return nil, 0, err
	}
	s := span{Offset: offset, Limit: limit}
	for _, i := range cut(&s, d.find(words(asked), "")) {
		list = append(list, Institution{i.name, i.services})
	}
	return list, s.Count, nil
}
