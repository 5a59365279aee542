package citizen

import (
	"errors"

	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/internal/strictjson"
	"github.com/staffetta/staffetta/wire"
)

// object reads the request's body. Places for that are bounded apart: a client may take its time.
func (c *call) object() (*strictjson.Object, error) {
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	return parseObject(body)
}

// body reads the request's body as it came.
func (c *call) body() ([]byte, error) {
	leave, err := take(c.api.bodies, "This gateway is busy.")
	if err != nil {
		return nil, err
	}
	defer leave()
	body, err := c.ReadBody(nil)
	if err != nil { // whatever it is, the contract has 400 only
		return nil, refuse(problemBody, "%s", problem.From(err).Detail)
	}
	return body, nil
}

// parseObject reads a body that must be one JSON object.
func parseObject(body []byte) (*strictjson.Object, error) {
	o, err := strictjson.ReadObject(body)
	return o, bodyProblem(err)
}

// bodyProblem tells what is wrong with a body: that it is no object, or what its members are not.
func bodyProblem(err error) error {
	var faults strictjson.Faults
	var syntax *strictjson.Syntax
	switch {
	case err == nil:
		return nil
	case errors.As(err, &faults):
		return problemBody.With(string(faults))
	case !errors.As(err, &syntax):
		return problemBody.With("The body is not a JSON object.")
	}
	switch syntax.Flaw {
	case strictjson.Deep:
		return refuse(problemBody, "The body nests deeper than %d levels.", strictjson.DepthMax)
	case strictjson.Encoded:
		return problemBody.With("The body is not UTF-8.")
	case strictjson.Trailing:
		return problemBody.With("Something follows the JSON object of the body.")
	case strictjson.Duplicate:
		return problemBody.With("An object of the body has two members of one name.")
	}
	return refuse(problemBody, "The body is not valid JSON, from byte %d on.", syntax.At)
}

// tri is a boolean member that may be absent.
func tri(value, given bool) wire.Tri {
	if !given {
		return wire.Unset
	}
	return wire.TriOf(value)
}
