package citizen

import (
	"strings"
	"time"

	"github.com/staffetta/staffetta/gateway/lollipop"
	"github.com/staffetta/staffetta/wire"
)

// signedAnswer is the contract's SignMessageResponse.
type signedAnswer struct {
	Response string `json:"response"`
}

// signMessage takes a message that the device of the session has signed, and gives it back: with it
// a client finds out whether its signatures are what a gateway verifies.
func (c *call) signMessage() error {
	body, err := c.body()
	if err != nil {
		return err
	}
	o, err := parseObject(body)
	if err != nil {
		return err
	}
	message := o.Text("message", "string", true, func(string) bool { return true })
	if err := bodyProblem(o.Err()); err != nil {
		return err
	}
	var s wire.Session
	if err := c.ask(wire.MethodGetSession, &wire.SessionRef{Token: c.token}, &s); err != nil {
		return err
	}
	if err := c.verify(&s, body); err != nil {
		return err
	}
	return c.Answer(signedAnswer{message})
}

// verify refuses a request that the device of a session has not signed.
func (c *call) verify(s *wire.Session, body []byte) error {
	if s.Key == "" {
		return refuse(problemSignature, "The session was opened without the key of a device.")
	}
	hash, _, _ := strings.Cut(s.Ref, "-")
	key, err := lollipop.Parse([]byte(s.Key), hash)
	if err != nil { // a region holds what a gateway of another version read
		return refuse(problemSignature, "The key of the device cannot be read by this gateway.")
	}
	signature, err := lollipop.Read(c.R.Header)
	if err == nil {
		err = signature.Verify(key, c.R, body, time.Now())
	}
	if err != nil {
		return refuse(problemSignature, "The request is not signed by the device: %s.",
			strings.TrimPrefix(err.Error(), "lollipop: "))
	}
	return nil
}
