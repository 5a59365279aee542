package lollipop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The headers that a signature is about, by the contract.
const (
	headerInput     = "Signature-Input"
	headerSignature = "Signature"
	headerDigest    = "Content-Digest"
	headerMethod    = "X-Pagopa-Lollipop-Original-Method"
	headerURL       = "X-Pagopa-Lollipop-Original-Url"
)

const (
	// headerBytesMax bounds each header that is parsed.
	headerBytesMax = 4096
	// signatureAge is how old a signature may be, signatureAhead how far in the future: a telephone's
	// clock is what it is.
	signatureAge   = 5 * time.Minute
	signatureAhead = 5 * time.Minute
)

// covered are the components that a signature may cover, and whether it has to.
var covered = map[string]bool{"x-pagopa-lollipop-original-method": true,
	"x-pagopa-lollipop-original-url": true, "content-digest": false, "content-type": false}

var (
	errInput     = errors.New("lollipop: no signature-input as the contract has it")
	errCovers    = errors.New("lollipop: the signature does not cover what it has to, once each")
	errTime      = errors.New("lollipop: the signature is of another time")
	errAnother   = errors.New("lollipop: the signature is of another key, or of another request")
	errDigest    = errors.New("lollipop: the content digest is missing, or of another body")
	errSignature = errors.New("lollipop: the signature is wrong")
)

// Signature is what a request says of its signature. Nothing of it is believed before Verify.
type Signature struct {
	Nonce string
	// KeyID is the thumbprint of the key, with or without its hash's name in front.
	KeyID      string
	components []string
	created    time.Time
	expires    time.Time // zero: it does not say
	algorithm  string
	params     string // as they are signed
	label      string
}

// Read parses the first signature of a request, of the subset of RFC 9421 that the contract uses: a
// list of header fields without parameters, and created, nonce, alg and keyid.
func Read(h http.Header) (*Signature, error) {
	values := h.Values(headerInput)
	if len(values) != 1 || len(values[0]) > headerBytesMax {
		return nil, errInput
	}
	label, params, ok := strings.Cut(values[0], "=")
	if !ok || !isLabel(label) {
		return nil, errInput
	}
	s := &Signature{label: label}
	rest, ok := s.readComponents(params)
	if !ok {
		return nil, errInput
	}
	after, ok := s.readParams(rest)
	if !ok || after != "" && !strings.HasPrefix(after, ",") { // a second signature is not for us
		return nil, errInput
	}
	s.params = params[:len(params)-len(after)]
	for name, must := range covered {
		n := 0
		for _, c := range s.components {
			if c == name {
				n++
			}
		}
		if n > 1 || must && n == 0 {
			return nil, errCovers
		}
	}
	return s, nil
}

func isLabel(s string) bool {
	number, ok := strings.CutPrefix(s, "sig")
	return ok && number != "" && len(number) < 4 && strings.Trim(number, "0123456789") == ""
}

// readComponents reads the list in parentheses, and returns what follows it.
func (s *Signature) readComponents(text string) (rest string, ok bool) {
	list, ok := strings.CutPrefix(text, "(")
	if !ok {
		return "", false
	}
	list, rest, ok = strings.Cut(list, ")")
	for _, item := range strings.Fields(list) {
		name, quoted := unquote(item)
		if _, known := covered[name]; !quoted || !known {
			return "", false
		}
		s.components = append(s.components, name)
	}
	return rest, ok
}

// readParams reads ;name=value as often as there is one, each once.
func (s *Signature) readParams(text string) (rest string, ok bool) {
	seen := map[string]bool{}
	for strings.HasPrefix(text, ";") {
		end := 1
		for quoted := false; end < len(text); end++ {
			if text[end] == '"' {
				quoted = !quoted
			} else if !quoted && (text[end] == ';' || text[end] == ',') {
				break
			}
		}
		name, value, ok := strings.Cut(text[1:end], "=")
		if !ok || seen[name] || !s.set(name, value) {
			return "", false
		}
		seen[name], text = true, text[end:]
	}
	return text, seen["created"] && seen["keyid"]
}

func (s *Signature) set(name, value string) (ok bool) {
	switch name {
	case "created":
		s.created, ok = instant(value)
	case "expires":
		s.expires, ok = instant(value)
	case "nonce":
		s.Nonce, ok = unquote(value)
	case "alg":
		s.algorithm, ok = unquote(value)
	case "keyid":
		s.KeyID, ok = unquote(value)
	}
	return ok
}

// instant reads a time in seconds since 1970.
func instant(value string) (time.Time, bool) {
	n, err := strconv.ParseInt(value, 10, 64)
	return time.Unix(n, 0), err == nil && n > 0 && n < 1<<40
}

// unquote reads a quoted text of visible ASCII without escapes.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", false
	}
	s = s[1 : len(s)-1]
	return s, !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '\\'
	})
}

// Verify reports whether the signature is the key's, of this request with this body, at a time.
func (s *Signature) Verify(k *Key, r *http.Request, body []byte, now time.Time) error {
	_, thumbprint, _ := strings.Cut(k.Ref, "-")
	switch {
	case s.KeyID != thumbprint && s.KeyID != k.Ref:
		return errAnother
	case now.Sub(s.created) > signatureAge || s.created.Sub(now) > signatureAhead:
		return errTime
	case !s.expires.IsZero() && !now.Before(s.expires):
		return errTime
	case r.Header.Get(headerMethod) != r.Method || !isOf(r.Header.Get(headerURL), r):
		return errAnother
	}
	if digests := slices.Contains(s.components, "content-digest"); digests || len(body) > 0 {
		if !digests || !digestOf(r.Header.Values(headerDigest), body) {
			return errDigest
		}
	}
	base, ok := s.base(r.Header)
	if !ok {
		return errCovers
	}
	signature, ok := s.bytes(r.Header.Values(headerSignature))
	if !ok || !s.isSigned(k.public, sha256.Sum256([]byte(base)), signature) {
		return errSignature
	}
	return nil
}

// isOf reports whether a URL is the request's. A gateway does not know under which host names
// clients reach it: the path and the query have to be the same.
func isOf(url string, r *http.Request) bool {
	rest, ok := strings.CutPrefix(url, "https://")
	slash := strings.IndexByte(rest, '/')
	return ok && slash > 0 && rest[slash:] == r.URL.RequestURI()
}

// digestOf reports whether the one SHA-256 of a header is the body's (RFC 9530).
func digestOf(values []string, body []byte) bool {
	if len(values) != 1 {
		return false
	}
	text, ok := strings.CutPrefix(values[0], "sha-256=:")
	text, closed := strings.CutSuffix(text, ":")
	got, err := base64.StdEncoding.DecodeString(text)
	want := sha256.Sum256(body)
	return ok && closed && err == nil && subtle.ConstantTimeCompare(got, want[:]) == 1
}

// base is what is signed (RFC 9421, 2.5).
func (s *Signature) base(h http.Header) (string, bool) {
	var b strings.Builder
	for _, name := range s.components {
		values := h.Values(name)
		if len(values) != 1 || len(values[0]) > headerBytesMax {
			return "", false
		}
		b.WriteString(`"` + name + `": ` + strings.TrimSpace(values[0]) + "\n")
	}
	b.WriteString(`"@signature-params": ` + s.params)
	return b.String(), true
}

// bytes finds the signature under its label.
func (s *Signature) bytes(values []string) ([]byte, bool) {
	if len(values) != 1 || len(values[0]) > headerBytesMax {
		return nil, false
	}
	for item := range strings.SplitSeq(values[0], ",") {
		text, ok := strings.CutPrefix(strings.TrimSpace(item), s.label+"=:")
		if !ok {
			continue
		}
		text, closed := strings.CutSuffix(text, ":")
		b, err := base64.StdEncoding.DecodeString(text)
		return b, closed && err == nil
	}
	return nil, false
}

// isSigned verifies by the key's kind: an algorithm that is named has to be that kind's. A
// signature of ECDSA is two numbers of 32 bytes, as RFC 9421 has it, or DER, as telephones make it.
func (s *Signature) isSigned(public crypto.PublicKey, sum [32]byte, signature []byte) bool {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if s.algorithm != "" && s.algorithm != "ecdsa-p256-sha256" {
			return false
		}
		if len(signature) == 64 {
			signature = derOf(signature)
		}
		return ecdsa.VerifyASN1(k, sum[:], signature)
	case *rsa.PublicKey:
		if s.algorithm != "" && s.algorithm != "rsa-pss-sha256" {
			return false
		}
		return rsa.VerifyPSS(k, crypto.SHA256, sum[:], signature,
			&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}) == nil
	}
	return false
}

// derOf is the DER of a signature of two numbers of 32 bytes.
func derOf(raw []byte) []byte {
	integer := func(b []byte) []byte {
		for len(b) > 1 && b[0] == 0 {
			b = b[1:]
		}
		if b[0] >= 0x80 {
			b = append([]byte{0}, b...)
		}
		return append([]byte{2, byte(len(b))}, b...)
	}
	body := append(integer(raw[:32]), integer(raw[32:])...)
	return append([]byte{0x30, byte(len(body))}, body...)
}
