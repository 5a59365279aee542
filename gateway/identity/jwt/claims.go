package jwt

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Skew is by how much another party's clock may differ from ours.
const Skew = time.Minute

// Claims are the members of a token, or of a plain object.
type Claims struct{ members map[string]jsontext.Value }

// Parse reads a plain object.
func Parse(b []byte) (*Claims, error) {
	if len(b) > TextMax {
		return nil, errors.New("the object is too large")
	}
	return parseClaims(b)
}

func parseClaims(b []byte) (*Claims, error) {
	c := new(Claims)
	if err := json.Unmarshal(b, &c.members); err != nil || c.members == nil {
		return nil, errors.New("not a JSON object, or one with a member twice")
	}
	return c, nil
}

// Has reports whether there is a member.
func (c *Claims) Has(name string) bool { _, ok := c.members[name]; return ok }

// Raw returns a member as it is; nil: there is none.
func (c *Claims) Raw(name string) []byte { return c.members[name] }

// Text returns a string; "" where there is none, or it is none.
func (c *Claims) Text(name string) string {
	var s string
	if json.Unmarshal(c.members[name], &s) != nil {
		return ""
	}
	return s
}

// List returns strings: an array of them, or one alone.
func (c *Claims) List(name string) []string {
	v := c.members[name]
	if v.Kind() == '"' {
		return []string{c.Text(name)}
	}
	var list []string
	if json.Unmarshal(v, &list) != nil {
		return nil
	}
	return list
}

// Child returns an object; nil: there is none.
func (c *Claims) Child(name string) *Claims {
	v := c.members[name]
	if v.Kind() != '{' {
		return nil
	}
	child, err := parseClaims(v)
	if err != nil {
		return nil
	}
	return child
}

// Time returns a time in seconds since 1970. ok is false where there is none, or it is none.
func (c *Claims) Time(name string) (at time.Time, ok bool) {
	var seconds float64
	if json.Unmarshal(c.members[name], &seconds) != nil || math.Abs(seconds) > 1<<40 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(seconds * 1000)), true
}

// CheckTimes checks that a token is valid now: it has not expired, which it has to say, nor is it
// of the future. age bounds how long ago it was issued; 0: it may be old, or not say.
func (c *Claims) CheckTimes(now time.Time, age time.Duration) error {
	exp, ok := c.Time("exp")
	if !ok {
		return errors.New("no exp")
	}
	if !now.Before(exp.Add(Skew)) {
		return errors.New("expired")
	}
	if c.Has("nbf") {
		if nbf, ok := c.Time("nbf"); !ok || now.Before(nbf.Add(-Skew)) {
			return errors.New("not valid yet")
		}
	}
	if !c.Has("iat") && age == 0 {
		return nil
	}
	iat, ok := c.Time("iat")
	switch {
	case !ok:
		return errors.New("no iat")
	case now.Before(iat.Add(-Skew)):
		return errors.New("issued in the future")
	case age > 0 && now.After(iat.Add(age+Skew)):
		return errors.New("issued too long ago")
	}
	return nil
}

// CheckAudience checks that the token is for us: of several audiences, we have to be the one whom
// it was issued to.
func (c *Claims) CheckAudience(us string) error {
	aud := c.List("aud")
	switch {
	case us == "" || !slices.Contains(aud, us):
		return errors.New("aud is another's")
	case len(aud) > 1 && !c.Has("azp"):
		return errors.New("aud has several, and no azp")
	case c.Has("azp") && c.Text("azp") != us:
		return errors.New("azp is another")
	}
	return nil
}

// SameIssuer reports whether two issuers are one: letter by letter, but for a slash at the end,
// which the Italian providers are not of one mind about.
func SameIssuer(a, b string) bool {
	return a != "" && strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/")
}
