package wire

import "github.com/staffetta/staffetta/internal/codec"

// Command is one change of a group's state, decided at apply.
type Command struct {
	Kind CommandKind
	Body []byte
}

// Fields declares the message.
func (m *Command) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &m.Kind)
	codec.Bytes(c, 2, &m.Body)
}

// Commands is the body of a CommandsEntry: independent commands, applied in order.
type Commands struct{ List []Command }

// Fields declares the message.
func (m *Commands) Fields(c *codec.Codec) { codec.Repeated(c, 1, &m.List) }

// Result answers one command: Err, or Body.
type Result struct {
	Err  *Error
	Body []byte
}

// Fields declares the message.
func (m *Result) Fields(c *codec.Codec) {
	codec.Optional(c, 1, &m.Err)
	codec.Bytes(c, 2, &m.Body)
}

// Results answers Commands, in order.
type Results struct{ List []Result }

// Fields declares the message.
func (m *Results) Fields(c *codec.Codec) { codec.Repeated(c, 1, &m.List) }

// OK makes the result of a command that succeeded; m may be nil.
func OK(m codec.Message) Result {
	if m == nil {
		return Result{}
	}
	return Result{Body: Encode(m)}
}

// Fail makes the result of a command that changed nothing.
func Fail(err *Error) Result { return Result{Err: err} }
