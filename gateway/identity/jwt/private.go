package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
)

// Private is a key of our own.
type Private struct{ key jose.JSONWebKey }

// NewPrivate takes a key: RSA of 2048 bits at least, or P-256. Its name is its thumbprint (RFC
// 7638).
func NewPrivate(key crypto.Signer) (*Private, error) {
	algorithm := jose.RS256
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if bits := k.N.BitLen(); bits < rsaBitsMin || bits > rsaBitsMax {
			return nil, errors.New("an RSA key of less than 2048 bits, or more than 8192")
		}
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return nil, errors.New("an elliptic key of another curve than P-256")
		}
		algorithm = jose.ES256
	default:
		return nil, errors.New("neither an RSA nor an elliptic key")
	}
	public := jose.JSONWebKey{Key: key.Public()}
	print, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return &Private{jose.JSONWebKey{Key: key, Algorithm: string(algorithm),
		KeyID: base64.RawURLEncoding.EncodeToString(print)}}, nil
}

// ParsePrivate reads a key (PEM: PKCS #8, PKCS #1 or SEC 1). The error does not repeat it.
func ParsePrivate(text []byte) (*Private, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		if signer, ok := k.(crypto.Signer); ok {
			return NewPrivate(signer)
		}
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return NewPrivate(k)
	}
	if k, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return NewPrivate(k)
	}
	return nil, errors.New("no private key")
}

// Public is the key as others see it. use is sig or enc.
func (p *Private) Public(use string) jose.JSONWebKey {
	public := p.key.Public()
	public.Use = use
	if use == "enc" {
		public.Algorithm = string(jose.RSA_OAEP_256)
	}
	return public
}

// Sign signs v as JSON, with the header's typ where it is not empty.
func (p *Private) Sign(v any, typ string) (string, error) {
	payload, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return "", err
	}
	opts := &jose.SignerOptions{}
	if typ != "" {
		opts.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(p.key.Algorithm), Key: p.key}, opts)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// What tokens may be encrypted by.
var (
	keyEncryptions = []jose.KeyAlgorithm{jose.RSA_OAEP, jose.RSA_OAEP_256}
	encryptions    = []jose.ContentEncryption{jose.A128CBC_HS256, jose.A256CBC_HS512, jose.A128GCM,
		jose.A256GCM}
)

// IsEncrypted reports whether a text has the form of an encrypted token.
func IsEncrypted(text string) bool { return strings.Count(text, ".") == 4 }

// Decrypt opens a token that was encrypted to one of our keys. What is inside is signed, and still
// to be verified.
func Decrypt(text string, keys ...*Private) (string, error) {
	if _, err := readHeader(text); err != nil {
		return "", err
	}
	sealed, err := jose.ParseEncryptedCompact(text, keyEncryptions, encryptions)
	if err != nil {
		return "", errors.New("encrypted by another algorithm, or not at all")
	}
	for _, k := range keys {
		if _, is := k.key.Key.(*rsa.PrivateKey); !is {
			continue
		}
		if plain, err := sealed.Decrypt(k.key.Key); err == nil && len(plain) <= TextMax {
			return string(plain), nil
		}
	}
	return "", errors.New("encrypted to another key")
}
