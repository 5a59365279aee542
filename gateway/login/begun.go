package login

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/staffetta/staffetta/gateway/identity"
	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// begun is a login that a browser is in the middle of. Its encoding lives for ten minutes, and is
// read by gateways of the version before and after.
type begun struct {
	State    [32]byte
	Nonce    [32]byte
	Provider string
	Level    identity.Level
	Person   string // who is expected, see identity.Asked
	App      bool   // the app waits for the token, no browser
	To       string // where a browser goes afterwards
	At       wire.Time
	// Ref and Key are the device's key, as package lollipop has them.
	Ref, Key string
	Pending  []byte // the provider's
}

// Fields declares the message.
func (b *begun) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, b.State[:])
	codec.Fixed(c, 2, b.Nonce[:])
	codec.String(c, 3, &b.Provider)
	codec.Uint(c, 4, &b.Level)
	codec.String(c, 5, &b.Person)
	codec.Bool(c, 6, &b.App)
	codec.String(c, 7, &b.To)
	codec.Int(c, 8, &b.At)
	codec.String(c, 9, &b.Ref)
	codec.String(c, 10, &b.Key)
	codec.Bytes(c, 11, &b.Pending)
}

// newBegun makes a login that nobody can guess.
func newBegun() *begun {
	b := new(begun)
	rand.Read(b.State[:]) // crypto/rand.Read never fails
	rand.Read(b.Nonce[:])
	return b
}

// begin is the login as the provider sees it.
func (b *begun) begin() identity.Begin {
	return identity.Begin{State: hex.EncodeToString(b.State[:]),
		Nonce: hex.EncodeToString(b.Nonce[:]), Level: b.Level, Request: b.Ref}
}

// cookiePrefix begins the name of every login's cookie; the rest is of its state, so that several
// logins in one browser do not meet. __Host- has the browser keep other hosts from setting it.
const cookiePrefix = "__Host-login-"

func cookieName(state string) string { return cookiePrefix + state[:16] }

// cookieVersion begins what is sealed.
const cookieVersion = 1

// cookieSeal is the cipher of every gateway of a federation. The label keeps its key apart from
// whatever else is derived from the directory's.
func cookieSeal(key wire.DirectoryKey) cipher.AEAD {
	derived, err := hkdf.Key(sha256.New, key[:], nil, "staffetta login begun", 32)
	if err == nil {
		var block cipher.Block
		if block, err = aes.NewCipher(derived); err == nil {
			var seal cipher.AEAD
			if seal, err = cipher.NewGCMWithRandomNonce(block); err == nil {
				return seal
			}
		}
	}
	panic(err) // all of it depends on constants only
}

// seal is the login as the cookie's value. ok is false where it is too large for one.
func (b *begun) seal(key wire.DirectoryKey) (value string, ok bool) {
	name := cookieName(hex.EncodeToString(b.State[:]))
	sealed := cookieSeal(key).Seal([]byte{cookieVersion}, nil, codec.Marshal(nil, b), []byte(name))
	value = base64.RawURLEncoding.EncodeToString(sealed)
	return value, len(value) <= cookieMax
}

// unseal reads a cookie. ok is false for whatever no gateway of the federation sealed under the
// name, or sealed too long ago, or for the future by more than a clock may be wrong.
func unseal(key wire.DirectoryKey, name, value string, now time.Time) (b *begun, ok bool) {
	if len(value) > cookieMax {
		return nil, false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(sealed) == 0 || sealed[0] != cookieVersion {
		return nil, false
	}
	text, err := cookieSeal(key).Open(nil, nil, sealed[1:], []byte(name))
	if err != nil {
		return nil, false
	}
	b = new(begun)
	if err := codec.Unmarshal(text, b); err != nil {
		return nil, false
	}
	age := now.Sub(b.At.Std())
	return b, age <= begunMax && age >= -begunMax/10
}

// setCookie leaves the login with the browser. A provider whose answers are posted by its site
// needs a cookie that other sites' requests carry; any other login has one that only links carry.
func (c *call) setCookie(name, value string, posts bool) {
	cookie := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, MaxAge: int(begunMax / time.Second)}
	if posts {
		cookie.SameSite = http.SameSiteNoneMode
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(c.W, cookie)
}

// makeRoom ends what a browser has too much of: logins that are over, then the oldest.
func (c *call) makeRoom(key wire.DirectoryKey, now time.Time) {
	var names []string
	var ages []wire.Time
	for _, cookie := range c.R.Cookies() {
		if !strings.HasPrefix(cookie.Name, cookiePrefix) {
			continue
		}
		b, ok := unseal(key, cookie.Name, cookie.Value, now)
		if !ok {
			c.setCookie(cookie.Name, "", false)
			continue
		}
		names, ages = append(names, cookie.Name), append(ages, b.At)
	}
	for ; len(names) >= begunAtOnce; names, ages = names[1:], ages[1:] {
		for i := range ages {
			if ages[i] < ages[0] {
				names[0], names[i], ages[0], ages[i] = names[i], names[0], ages[i], ages[0]
			}
		}
		c.setCookie(names[0], "", false)
	}
}

// isState reports whether a text has the form of a state.
func isState(s string) bool {
	if len(s) != 64 {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil && strings.ToLower(s) == s
}

// takeBegun finds what was begun under a state, and ends its cookie.
func (c *call) takeBegun(key wire.DirectoryKey, state string, now time.Time) (*begun, bool) {
	if !isState(state) {
		return nil, false
	}
	name := cookieName(state)
	cookies := c.R.CookiesNamed(name)
	if len(cookies) == 0 {
		return nil, false
	}
	c.setCookie(name, "", false)
	b, ok := unseal(key, name, cookies[0].Value, now)
	return b, ok && len(cookies) == 1 && hex.EncodeToString(b.State[:]) == state
}
