package federation

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// The bounds of a configuration of remote content, besides those of every text.
const (
	baseURLMax    = 2048
	headerNameMax = 128
)

func remoteKey(id wire.RemoteContentID) []byte { return append([]byte("r/"), id...) }

// NewRemoteContent makes the configuration that is logged from the one that an operator gives: it
// hashes fiscal codes and seals keys, once, at the edge, so that neither reaches the log in clear.
// before is the configuration as it is; nil: there is none. What it has under the same key stays as
// it is sealed, so that the same put again changes nothing.
func NewRemoteContent(spec *wire.RemoteContentSpec, before *wire.RemoteContent,
	h *wire.Hasher) (*wire.RemoteContent, error) {
	r := spec.Content
	if before == nil {
		before = new(wire.RemoteContent)
	}
	var err error
	if r.LollipopOff, err = hashed("lollipop exception", spec.LollipopOff, h); err != nil {
		return nil, err
	}
	if r.TestUsers, err = hashed("test user", spec.TestUsers, h); err != nil {
		return nil, err
	}
	for _, server := range []struct {
		now, before *wire.RemoteServer
		key         string
	}{{r.Production, before.Production, spec.ProductionKey}, {r.Test, before.Test, spec.TestKey}} {
		if server.now == nil {
			continue
		}
		server.now.Key = nil
		old := ""
		if server.before != nil && sameHost(server.before.BaseURL, server.now.BaseURL) {
			old, _ = wire.OpenRemoteKey(h.Key(), r.ID, server.before.Key)
		}
		switch {
		case len(server.key) > wire.RemoteKeyMax || !visible(server.key):
			return nil, wire.Malformedf("the key of a server is no visible ASCII of 1-%d bytes",
				wire.RemoteKeyMax)
		case server.key == "" && old == "":
			return nil, wire.Malformedf("the server has no key")
		case server.key == "" || server.key == old:
			server.now.Key = server.before.Key
		default:
			server.now.Key = wire.SealRemoteKey(h.Key(), r.ID, server.key)
		}
	}
	if err := validateRemoteContent(&r); err != nil {
		return nil, err
	}
	return &r, nil
}

// sameHost: a key goes to no other host than it was given for.
func sameHost(a, b string) bool {
	x, err := url.Parse(a)
	y, err2 := url.Parse(b)
	return err == nil && err2 == nil && x.Scheme == y.Scheme && x.Host == y.Host
}

func visible(s string) bool { return s == "" || wire.Visible(s) }

func hashed(what string, codes []string, h *wire.Hasher) (list []wire.Recipient, err error) {
	for i, c := range codes {
		code, err := fiscalcode.Parse(c)
		if err != nil {
			return nil, wire.Malformedf("%s %d is no fiscal code", what, i)
		}
		list = append(list, h.Recipient(code))
	}
	return list, nil
}

func validateRemoteContent(r *wire.RemoteContent) *wire.Error {
	switch {
	case !r.ID.Valid():
		return wire.Malformedf("a configuration's id is 26 characters of Crockford's base 32, upper case")
	case !r.Institution.Valid():
		return wire.Malformedf("configuration without a valid institution")
	case r.Precondition != "ALWAYS" && r.Precondition != "ONCE" && r.Precondition != "NEVER":
		return wire.Malformedf("a configuration's has_precondition is ALWAYS, ONCE or NEVER")
	case r.Production == nil && r.Test == nil:
		return wire.Malformedf("a configuration has an environment of production or of test")
	case len(r.TestUsers) > wire.ListMax || len(r.LollipopOff) > wire.ListMax:
		return wire.Errorf(wire.TooLarge, "a list of more than %d citizens", wire.ListMax)
	}
	if err := validateText("configuration's name", r.Name, true, nameTextMax); err != nil {
		return err
	}
	if err := validateText("description", r.Description, true, metadataTextMax); err != nil {
		return err
	}
	for _, s := range []*wire.RemoteServer{r.Production, r.Test} {
		if s == nil {
			continue
		}
		if err := validateRemoteServer(s); err != nil {
			return err
		}
	}
	return nil
}

func validateRemoteServer(s *wire.RemoteServer) *wire.Error {
	u, err := url.Parse(s.BaseURL)
	switch {
	case len(s.BaseURL) > baseURLMax || err != nil || u.Scheme != "https" && u.Scheme != "http" ||
		u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.HasSuffix(u.Path, "/"):
		return wire.Malformedf("base_url is https://host/path, without a slash at its end, a user, a " +
			"query or a fragment")
	case !headerName(s.Header):
		return wire.Malformedf("header_key_name is no name of a header that may be set")
	case len(s.Key) == 0 || len(s.Key) > wire.RemoteSealedMax:
		return wire.Malformedf("a server without a sealed key")
	}
	return nil
}

// headerName refuses what is none, and what belongs to the connection or to the request itself.
func headerName(name string) bool {
	if name == "" || len(name) > headerNameMax {
		return false
	}
	for _, c := range []byte(name) {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	switch http.CanonicalHeaderKey(name) {
	case "Host", "Connection", "Content-Length", "Transfer-Encoding", "Te", "Trailer", "Upgrade",
		"Fiscal_code", "Accept", "Accept-Encoding", "Signature", "Signature-Input", "Content-Digest":
		return false
	}
	return !strings.HasPrefix(strings.ToLower(name), "x-pagopa-lollipop-")
}

// putRemoteContent makes a configuration, or replaces it as a whole. NotFound when there is no such
// institution; Conflict when the configuration is another one's.
func (t *tx) putRemoteContent(r *wire.RemoteContent) (codec.Message, *wire.Error) {
	if err := validateRemoteContent(r); err != nil {
		return nil, err
	}
	if _, ok := t.get(institutionKey(r.Institution)); !ok {
		return nil, wire.Errorf(wire.NotFound, "no institution %q", r.Institution)
	}
	var old wire.RemoteContent
	if t.load(remoteKey(r.ID), &old) && old.Institution != r.Institution {
		return nil, wire.Errorf(wire.Conflict, "the configuration is another institution's")
	}
	t.put(remoteKey(r.ID), r, &old)
	return nil, nil
}

// removeRemoteContent forgets a configuration, and with it how the content of the messages that
// name it is fetched. NotFound when there is none.
func (t *tx) removeRemoteContent(r *wire.RemoteContentRef) (codec.Message, *wire.Error) {
	if !r.ID.Valid() {
		return nil, wire.Errorf(wire.NotFound, "no such configuration")
	}
	if _, ok := t.get(remoteKey(r.ID)); !ok {
		return nil, wire.Errorf(wire.NotFound, "no such configuration")
	}
	t.del(remoteKey(r.ID))
	return nil, nil
}

// RemoteContent returns a configuration, or NotFound.
func (s *State) RemoteContent(id wire.RemoteContentID) (*wire.RemoteContent, error) {
	const absent = "no such configuration"
	if !id.Valid() {
		return nil, wire.Errorf(wire.NotFound, absent)
	}
	c := new(wire.RemoteContent)
	err := s.db.View(func(r pebble.Reader) error { return read(r, remoteKey(id), c, absent) })
	if err != nil {
		return nil, err
	}
	return c, nil
}

// RemoteContents returns a page of the configurations in order of their ids, without keys and
// without citizens.
func (s *State) RemoteContents(q *wire.ListRegistry) (*wire.RemoteContentPage, error) {
	page := &wire.RemoteContentPage{Fresh: wire.Freshness{Index: s.Position().Index}}
	next, err := list(s, "r/", q, func(r *wire.RemoteContent) bool {
		for _, server := range []*wire.RemoteServer{r.Production, r.Test} {
			if server != nil {
				server.Key = nil
			}
		}
		return q.Institution == "" || r.Institution == q.Institution
	}, func(r *wire.RemoteContent) string { return string(r.ID) }, &page.List)
	page.Next = next
	return page, err
}
