package wire

import "github.com/staffetta/staffetta/internal/codec"

// ConfirmTime says that At was the time by the clocks of a majority of the group's voters, which
// answered messages that were sent after the leader had taken it. It sets the group's time, also
// back; entries move it on from there by their own word, TimeStepMax at most. What was dated in the
// future is dated At.
type ConfirmTime struct{ At Time }

// Fields declares the message.
func (m *ConfirmTime) Fields(c *codec.Codec) { codec.Int(c, 1, &m.At) }

// TimeConfirmed is the result of a ConfirmTime. With More not everything that was dated in the
// future is dated anew: confirm again.
type TimeConfirmed struct{ More bool }

// Fields declares the message.
func (m *TimeConfirmed) Fields(c *codec.Codec) { codec.Bool(c, 1, &m.More) }
