package institution

import (
	"bytes"

	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/internal/strictjson"
)

// keptBytesMax is the largest body that a decoder keeps the buffer of for the next message. Nine of
// ten messages are below 4 KiB.
const keptBytesMax = 32 << 10

type rule = strictjson.Rule

// decoder reads the API's bodies from body, one after the other, into its message.
type decoder struct {
	strictjson.Reader
	scanner strictjson.Scanner
	body    []byte
	line    bool // body is a line of a bulk request
	message newMessage
	// keyFault says what is wrong with the idempotency key.
	keyFault string
}

func newDecoder() *decoder { return &decoder{Reader: strictjson.NewReader()} }

// reset forgets the message. Whatever was decoded keeps no reference to the decoder.
func (d *decoder) reset() {
	d.Reset()
	d.scanner.Reset()
	d.message = newMessage{}
	if cap(d.body) > keptBytesMax {
		d.body = nil
	}
}

// begin starts on the body.
func (d *decoder) begin() error {
	d.keyFault = ""
	err := d.Begin(bytes.TrimPrefix(d.body, []byte("\xef\xbb\xbf"))) // some clients send the mark
	if err != nil {
		return d.malformed(err)
	}
	return nil
}

// end returns what was wrong: an error of syntax, or the key's, or the report as a problem of the
// given type, or nothing.
func (d *decoder) end(invalid problem.Problem) error {
	err := d.End()
	faults, is := err.(strictjson.Faults)
	switch {
	case err != nil && !is:
		return d.malformed(err)
	case d.keyFault != "":
		return invalidIdempotencyKey.With(d.keyFault)
	case is:
		return invalid.With(string(faults))
	}
	return nil
}

// malformed is the problem of a body that is no JSON.
func (d *decoder) malformed(err error) error {
	subject := "The request body "
	if d.line {
		subject = "The line "
	}
	return malformedJSON.With(subject + err.Error() + ".")
}
