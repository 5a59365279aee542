package testidp

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
)

// pair is a key that signs, and its name.
type pair struct {
	private *rsa.PrivateKey
	id      string
}

// Keys take a second to make: those that a provider begins with, and that of another one, are the
// same in all of a process.
var (
	firstPair   = sync.OnceValue(func() *pair { return newPair("key-1") })
	foreignPair = sync.OnceValue(func() *pair { return newPair("key-of-another") })
)

func newPair(id string) *pair {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return &pair{k, id}
}

func (p *pair) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: p.private.Public(), KeyID: p.id, Use: "sig", Algorithm: "RS256"}
}

// sign signs claims with a key under a name, and with more headers.
func sign(key any, algorithm jose.SignatureAlgorithm, id string, payload []byte,
	headers map[jose.HeaderKey]any) string {
	opts := &jose.SignerOptions{ExtraHeaders: headers}
	if id != "" {
		opts.WithHeader("kid", id)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, opts)
	if err != nil {
		panic(err)
	}
	signed, err := s.Sign(payload)
	if err != nil {
		panic(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

// token signs claims, as a fault has it.
func (p *Provider) token(claims map[string]any, fault Fault) string {
	payload, err := json.Marshal(claims, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	key := p.key
	switch fault {
	case Unsigned:
		text := sign(key.private, jose.RS256, key.id, payload, nil)
		return text[:strings.LastIndexByte(text, '.')+1]
	case None:
		head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
		return head + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	case HMAC:
		public, err := x509.MarshalPKIXPublicKey(key.private.Public())
		if err != nil {
			panic(err)
		}
		return sign(public, jose.HS256, key.id, payload, nil)
	case Foreign:
		return sign(p.foreign.private, jose.RS256, p.foreign.id, payload, nil)
	case Forged:
		return sign(p.foreign.private, jose.RS256, key.id, payload, nil)
	case Embedded:
		return sign(p.foreign.private, jose.RS256, key.id, payload,
			map[jose.HeaderKey]any{"jwk": p.foreign.public()})
	case Critical:
		return sign(key.private, jose.RS256, key.id, payload,
			map[jose.HeaderKey]any{"crit": []string{"exp"}, "exp": 1})
	case Twice:
		payload = append([]byte(`{"sub":"another",`), payload[1:]...)
	}
	return sign(key.private, jose.RS256, key.id, payload, nil)
}

// encrypt encrypts a signed token to a key.
func encrypt(key *rsa.PublicKey, text string) string {
	e, err := jose.NewEncrypter(jose.A256CBC_HS512,
		jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: key},
		(&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		panic(err)
	}
	sealed, err := e.Encrypt([]byte(text))
	if err != nil {
		panic(err)
	}
	s, err := sealed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return s
}

// hashOf is the at_hash of an access token.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func random() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
