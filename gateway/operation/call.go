package operation

import (
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/staffetta/staffetta/internal/problem"
)

// Call is one request for an operation.
type Call struct {
	W  http.ResponseWriter
	R  *http.Request
	Op *Operation
}

// CheckBody refuses a body of another type than the operation insists on, or one that is encoded.
// It is for handlers that read the body themselves.
func (c *Call) CheckBody() error {
	if err := c.checkType(); err != nil {
		return err
	}
	return problem.CheckEncoding(c.W, c.R)
}

func (c *Call) checkType() error {
	b := &c.Op.Body
	if b.Insists == "" {
		return nil
	}
	kind, _, err := mime.ParseMediaType(c.R.Header.Get("Content-Type"))
	if err != nil || kind != b.Type {
		return problem.UnsupportedMediaType.With(b.Insists + " has the Content-Type " + b.Type + ".")
	}
	return nil
}

// ReadBody reads the body whole, within the operation's bound, into buf[:0] as far as that has
// room. Errors are problems.
func (c *Call) ReadBody(buf []byte) ([]byte, error) {
	if err := c.checkType(); err != nil {
		return nil, err
	}
	return problem.ReadBody(c.W, c.R, buf, c.Op.Body.Max)
}

// Answer answers the success with v as JSON. Members that are absent are left out by v's own word
// (omitzero, omitempty): the contracts know no null.
func (c *Call) Answer(v any) error {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil { // a string that is not UTF-8: nothing of the kind is ever stored
		return fmt.Errorf("encode the answer: %w", err)
	}
	return c.AnswerJSON(b)
}

// AnswerJSON answers the success with b, which is JSON already.
func (c *Call) AnswerJSON(b []byte) error {
	problem.WriteJSONBytes(c.W, c.Op.Success(), b)
	return nil
}

// AnswerNothing answers the success of an operation that has nothing to say, 204.
func (c *Call) AnswerNothing() error {
	c.W.Header().Set("Cache-Control", "no-store")
	c.W.WriteHeader(c.Op.Success())
	return nil
}

// Prefers reports whether the client has a preference (RFC 7240), whose value is the last part of
// "name=value", and says in the answer that it is followed. Preferences that nobody asks for are
// not for us.
func (c *Call) Prefers(preference string) bool {
	name, value, _ := strings.Cut(preference, "=")
	for _, line := range c.R.Header["Prefer"] {
		for p := range strings.SplitSeq(line, ",") {
			p, _, _ = strings.Cut(p, ";") // its parameters, of which it has none
			n, v, _ := strings.Cut(p, "=")
			if strings.EqualFold(strings.TrimSpace(n), name) && strings.Trim(v, " \t\"") == value {
				c.W.Header()["Preference-Applied"] = []string{preference}
				return true
			}
		}
	}
	return false
}
