package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"strings"

	"github.com/staffetta/staffetta/internal/codec"
)

// RemoteContentID names a configuration of remote content: 26 characters of Crockford's base 32,
// upper case here.
type RemoteContentID string

// NewRemoteContentID invents one.
func NewRemoteContentID(now Time) RemoteContentID {
	return RemoteContentID(NewMessageID(now, 0).String())
}

// RemoteContentIDOf is the id that a message names, in either case.
func RemoteContentIDOf(configuration string) RemoteContentID {
	return RemoteContentID(strings.ToUpper(configuration))
}

// Valid reports whether it has the form of one.
func (id RemoteContentID) Valid() bool {
	if len(id) != 26 {
		return false
	}
	for _, c := range []byte(id) {
		if !strings.ContainsRune("0123456789ABCDEFGHJKMNPQRSTVWXYZ", rune(c)) {
			return false
		}
	}
	return true
}

// RemoteContent is where an institution keeps content that its messages only refer to, and how a
// gateway fetches it for the citizen who opens one: a configuration, in the contract's word.
type RemoteContent struct {
	ID          RemoteContentID
	Institution InstitutionID
	Name        string
	Description string
	// Precondition is that of messages that name none: ALWAYS, ONCE or NEVER.
	Precondition string
	// Lollipop: the signatures of the citizen's requests are passed on, but for those in LollipopOff.
	Lollipop    bool
	LollipopOff []Recipient
	// Production answers for all but TestUsers, for whom Test does. One of the two may be missing;
	// the other one then answers for all.
	Production *RemoteServer
	Test       *RemoteServer
	TestUsers  []Recipient
}

// Fields declares the message.
func (r *RemoteContent) Fields(c *codec.Codec) {
	codec.String(c, 1, &r.ID)
	codec.String(c, 2, &r.Institution)
	codec.String(c, 3, &r.Name)
	codec.String(c, 4, &r.Description)
	codec.String(c, 5, &r.Precondition)
	codec.Bool(c, 6, &r.Lollipop)
	off := joinRecipients(r.LollipopOff)
	codec.Bytes(c, 7, &off)
	codec.Optional(c, 8, &r.Production)
	codec.Optional(c, 9, &r.Test)
	users := joinRecipients(r.TestUsers)
	codec.Bytes(c, 10, &users)
	if c.Decoding() {
		r.LollipopOff, r.TestUsers = cutRecipients(c, off), cutRecipients(c, users)
	}
}

func joinRecipients(list []Recipient) []byte {
	b := make([]byte, 0, 16*len(list))
	for _, r := range list {
		b = append(b, r[:]...)
	}
	return b
}

// AuditSubject names the configuration in the audit.
func (r *RemoteContent) AuditSubject() string { return string(r.ID) }

// Of returns the server that answers for a citizen.
func (r *RemoteContent) Of(who Recipient) *RemoteServer {
	if r.Test != nil && (r.Production == nil || includes(r.TestUsers, who)) {
		return r.Test
	}
	return r.Production
}

// PassesSignatures reports whether the signatures of a citizen's requests are passed on.
func (r *RemoteContent) PassesSignatures(who Recipient) bool {
	return r.Lollipop && !includes(r.LollipopOff, who)
}

func includes(list []Recipient, who Recipient) bool {
	for _, r := range list {
		if r == who {
			return true
		}
	}
	return false
}

// RemoteServer is an institution's server. It knows a gateway by a key in a header, which is sealed
// under the directory key.
type RemoteServer struct {
	BaseURL string
	Header  string
	Key     []byte // of SealRemoteKey
}

// Fields declares the message.
func (s *RemoteServer) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.BaseURL)
	codec.String(c, 2, &s.Header)
	codec.Bytes(c, 3, &s.Key)
}

// RemoteKeyMax bounds the key that a server knows a gateway by, in bytes.
const RemoteKeyMax = 1024

// A sealed key: version 1 | nonce 12 | AES-256-GCM of the key. The configuration's id is
// authenticated, so that a key cannot be moved to another one's server.
const (
	remoteSealVersion = 1
	remoteNonceBytes  = 12
	// RemoteSealedMax bounds a sealed key.
	RemoteSealedMax = 1 + remoteNonceBytes + RemoteKeyMax + 16
)

func remoteSealer(key DirectoryKey) cipher.AEAD {
	derived, err := hkdf.Key(sha256.New, key[:], nil, "staffetta remote content", 32)
	if err != nil {
		panic("wire: " + err.Error()) // only for lengths that are out of range
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		panic("wire: " + err.Error())
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("wire: " + err.Error())
	}
	return aead
}

// SealRemoteKey encrypts the key of a configuration's server, for OpenRemoteKey by who has the
// directory key.
func SealRemoteKey(under DirectoryKey, id RemoteContentID, key string) []byte {
	sealed := make([]byte, 1+remoteNonceBytes, RemoteSealedMax)
	sealed[0] = remoteSealVersion
	rand.Read(sealed[1:]) // never fails
	return remoteSealer(under).Seal(sealed, sealed[1:], []byte(key), []byte(id))
}

// OpenRemoteKey returns the key that was sealed for a configuration. Malformed when it was sealed
// under another directory key, for another configuration, or damaged.
func OpenRemoteKey(under DirectoryKey, id RemoteContentID, sealed []byte) (string, error) {
	if len(sealed) < 1+remoteNonceBytes || sealed[0] != remoteSealVersion {
		return "", Malformedf("a server's key is not sealed as is known here")
	}
	nonce, body := sealed[1:1+remoteNonceBytes], sealed[1+remoteNonceBytes:]
	key, err := remoteSealer(under).Open(nil, nonce, body, []byte(id))
	if err != nil {
		return "", Malformedf("a server's key cannot be opened")
	}
	return string(key), nil
}

// RemoteContentSpec is a configuration as an operator gives it, with keys and fiscal codes in
// clear; the node seals and hashes them before anything is logged. Of a server whose key is empty
// the one that is there stays.
type RemoteContentSpec struct {
	Content       RemoteContent
	ProductionKey string
	TestKey       string
	LollipopOff   []string
	TestUsers     []string
}

// Fields declares the message.
func (s *RemoteContentSpec) Fields(c *codec.Codec) {
	codec.Nested(c, 1, &s.Content)
	codec.String(c, 2, &s.ProductionKey)
	codec.String(c, 3, &s.TestKey)
	codec.Strings(c, 4, &s.LollipopOff)
	codec.Strings(c, 5, &s.TestUsers)
}

// RemoteContentRef names a configuration: to look it up, or to remove it. NotFound when there is
// none.
type RemoteContentRef struct{ ID RemoteContentID }

// Fields declares the message.
func (r *RemoteContentRef) Fields(c *codec.Codec) { codec.String(c, 1, &r.ID) }

// AuditSubject names the configuration in the audit.
func (r *RemoteContentRef) AuditSubject() string { return string(r.ID) }

// RemoteContentPage answers ListRegistry, as InstitutionPage does, without keys.
type RemoteContentPage struct {
	List  []RemoteContent
	Next  string
	Fresh Freshness
}

// Fields declares the message.
func (p *RemoteContentPage) Fields(c *codec.Codec) {
	codec.Repeated(c, 1, &p.List)
	codec.String(c, 2, &p.Next)
	codec.Nested(c, 3, &p.Fresh)
}
