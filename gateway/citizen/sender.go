package citizen

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/staffetta/staffetta/wire"
)

// sender is what the contract's enriched messages say of where they come from.
type sender struct {
	service      string
	organization string
	code         wire.InstitutionID
	known        bool
}

// unknownSender stands for a sender that is gone from the federation, or that no node could name
// in time: one message must not take the page with it. The names are shown to citizens; the code
// has the form that clients insist on and belongs to nobody.
var unknownSender = sender{service: "Servizio non disponibile",
	organization: "Ente non disponibile", code: "00000000000"}

// senders looks up every service of the items, each once, within senderWait.
func (a *API) senders(ctx context.Context, items []wire.InboxItem) map[wire.ServiceID]sender {
	ids := make([]wire.ServiceID, 0, len(items))
	found := make(map[wire.ServiceID]sender, len(items))
	for i := range items {
		if _, seen := found[items[i].Service]; !seen {
			found[items[i].Service] = unknownSender
			ids = append(ids, items[i].Service)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, senderWait)
	defer cancel()
	answers := make([]sender, len(ids))
	var group errgroup.Group
	group.SetLimit(senderLookups)
	for i, id := range ids {
		group.Go(func() error {
			answers[i] = a.sender(ctx, id)
			return nil
		})
	}
	group.Wait()
	for i, id := range ids {
		found[id] = answers[i]
	}
	for i := range items {
		if !found[items[i].Service].known {
			a.substitutes.Inc()
		}
	}
	return found
}

func (a *API) sender(ctx context.Context, id wire.ServiceID) sender {
	access, err := a.relay.ServiceByID(ctx, id)
	if err != nil {
		return unknownSender
	}
	return sender{service: access.Service.Name, organization: access.Institution.Name,
		code: access.Institution.ID, known: true}
}
