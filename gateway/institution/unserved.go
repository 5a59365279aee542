package institution

import (
	"context"
	"errors"
	"strings"

	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

// UnservedHeader names the parts of a message that was taken though nothing here can serve them.
const UnservedHeader = "Staffetta-Unserved"

// unserved are the parts of a message that are kept and shown and that nothing stands behind yet:
// no payment is looked up or made, no content is fetched without a configuration.
func (m *newMessage) unserved() (parts []string) {
	third := m.content.ThirdParty != nil && !m.configured
	switch payment := m.content.Payment != nil; {
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

// checkConfiguration looks up how the content is fetched that the institution keeps of a message,
// which is the configuration's precondition where the message names none. Without one nobody could
// open the message: it is refused, or taken as unserved.
func (c *call) checkConfiguration(m *newMessage) error {
	third := m.content.ThirdParty
	if third.ConfigurationID == "" {
		return noConfiguration
	}
	found, err := wait(c, func(ctx context.Context) (*wire.RemoteContent, error) {
		return c.api.relay.RemoteContent(ctx, wire.RemoteContentIDOf(third.ConfigurationID))
	})
	switch {
	case errors.Is(err, wire.NotFound) && c.api.acceptUnserved:
		return nil
	case errors.Is(err, wire.NotFound):
		return configurationNotFound
	case err != nil:
		return relayFault(err)
	case found.Institution != c.institution.ID:
		return notYourConfiguration
	}
	m.configured = true
	if third.HasPrecondition == "" && found.Precondition != "NEVER" {
		third.HasPrecondition = found.Precondition
	}
	return nil
}
