package citizen

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// ErrCredentials is OpenTest's of a citizen who is not listed, or of another password.
var ErrCredentials = errors.New("citizen: unknown citizen or wrong password")

// OpenTest opens a session by the test login, for a page's form: the same citizens and password as
// POST /test-login has. Other errors than ErrCredentials are problems, or the wire's.
func (a *API) OpenTest(ctx context.Context, username, password string) (token string, err error) {
	login := a.cfg.TestLogin
	code, err := fiscalcode.ParseLogin(username)
	if login == nil || err != nil {
		return "", ErrCredentials
	}
	_, listed := login.Codes[code]
	given, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(login.Password))
	if subtle.ConstantTimeCompare(given[:], want[:]) != 1 || !listed && !login.Any {
		a.logins.WithLabelValues("refused").Inc()
		return "", ErrCredentials
	}
	ctx, cancel := context.WithTimeout(ctx, loginWait)
	defer cancel()
	c := &call{api: a}
	token, err = c.open(ctx, code, "")
	if err != nil {
		a.logins.WithLabelValues("failed").Inc()
		return "", err
	}
	a.logins.WithLabelValues("opened").Inc()
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

// SessionTTL is how long a session lives.
func (a *API) SessionTTL() time.Duration { return a.cfg.SessionTTL }
