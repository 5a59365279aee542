package region

import "github.com/staffetta/staffetta/wire"

// The verdicts, contract for institutions §2.6. Whether the service exists and is not a special
// one was checked at the edge: a region knows citizens, not services.
var (
	processed         = wire.Verdict{Status: wire.Processed}
	userNotFound      = wire.Verdict{Status: wire.Rejected, Reason: wire.UserNotFound}
	serviceNotAllowed = wire.Verdict{Status: wire.Rejected, Reason: wire.ServiceNotAllowed}
)

// decides reports whether this region decides verdicts for r: it owns the code, or holds the
// anchor slot of one that nobody owns. A claim under way changes nothing yet.
func (s *State) decides(st standing, r wire.Recipient) bool {
	switch st.State {
	case wire.Owned:
		return true
	case wire.NotOwned, wire.Claiming:
		return s.slots.Load().has(r)
	}
	return plantedStale()
}

// notOwner names the owner, as far as this region knows.
func (s *State) notOwner(c *change, st standing, r wire.Recipient) (wire.Outcome, error) {
	o := wire.Outcome{Kind: wire.NotOwner}
	if st.State != wire.Released {
		return o, nil
	}
	own, err := c.ownership(r)
	o.Region, o.Epoch = own.Region, own.Epoch
	return o, err
}

// judge decides whether a message of service reaches r.
func (s *State) judge(c *change, r wire.Recipient, st standing, service wire.ServiceID) (
	wire.Verdict, error) {
	switch {
	case !st.HasProfile:
		return userNotFound, nil
	case !st.Active:
		return serviceNotAllowed, nil
	}
	blocks, choice := false, wire.Unset
	var err error
	switch {
	case st.Mode == wire.Legacy && st.Blocks:
		var row profileRow
		if _, err = c.getRow(recipientKey(profilePrefix, r), &row); err == nil {
			blocks = blocksInbox(&row.Profile, service)
		}
	case st.Mode != wire.Legacy && st.Preferences:
		choice, err = s.choice(c, r, st.Version, service)
	}
	if err != nil {
		return wire.Verdict{}, err
	}
	if !allowed(st.Mode, blocks, choice) {
		return serviceNotAllowed, nil
	}
	return processed, nil
}

// allowed is the contract's rule: LEGACY lets a service through unless its inbox is blocked,
// AUTO unless the citizen said no, MANUAL only if the citizen said yes.
func allowed(mode wire.Mode, blocks bool, choice wire.Tri) bool {
	switch mode {
	case wire.Auto:
		return choice != wire.No
	case wire.Manual:
		return choice == wire.Yes
	}
	return !blocks
}

func blocksInbox(p *wire.Profile, service wire.ServiceID) bool {
	for _, b := range p.Blocked {
		if b.Service == service {
			return b.Channels&wire.ChannelInbox != 0
		}
	}
	return false
}
