package institution

import (
	"strings"

	"github.com/staffetta/staffetta/internal/problem"
)

// UnservedHeader names the parts of a message that was taken though nothing here can serve them.
const UnservedHeader = "Staffetta-Unserved"

// unserved are the parts of a message that are kept and shown and that nothing stands behind yet:
// no payment is looked up or made, no content is fetched that the institution keeps.
func (m *newMessage) unserved() (parts []string) {
	switch payment, third := m.content.Payment != nil, m.content.ThirdParty != nil; {
	case payment && third:
		return unservedParts[:]
	case payment:
		return unservedParts[:1]
	case third:
		return unservedParts[1:]
	}
	return nil
}

var unservedParts = [...]string{"payment_data", "third_party_data"}

// checkUnserved refuses a message that has such a part, or notes it for the answer, as is set.
func (c *call) checkUnserved(m *newMessage) error {
	parts := m.unserved()
	c.unserved = strings.Join(parts, ", ")
	if len(parts) > 0 && !c.api.acceptUnserved {
		return problem.NotServed.With("The message has " + strings.Join(parts, " and ") +
			", which nothing here can serve yet. It was not taken.")
	}
	return nil
}
