package federation

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/staffetta/staffetta/wire"
)

// The bounds of what operators put in; behind each is Malformed or TooLarge.
const (
	// directoryOpsMax bounds one command; a region's leader sends a few hundred at a time.
	directoryOpsMax = 4096
	// nameTextMax bounds names of institutions, services and departments, in bytes.
	nameTextMax = 1024
	// scopesMax and scopeBytesMax bound an institution's scopes; the contract has a dozen.
	scopesMax, scopeBytesMax = 64, 64
	// metadataTextMax bounds one text of a service's metadata; a description is the longest.
	metadataTextMax = 16 << 10
	// addrBytesMax bounds host:port; a DNS name has at most 253 bytes.
	addrBytesMax = 253 + 6
	// amountMax is the contract's bound of max_allowed_payment_amount, in eurocent.
	amountMax = 9_999_999_999
)

// validateMap checks what Map.Validate leaves out: addresses and gateways.
func validateMap(m *wire.Map) *wire.Error {
	if err := m.Validate(); err != nil {
		return wire.AsError(err)
	}
	for i := range m.Nodes {
		if n := &m.Nodes[i]; len(n.Addr) > addrBytesMax || !wire.Visible(n.Addr) {
			return wire.Malformedf("node %q has no valid address", n.ID)
		}
	}
	if err := validateTrust(&m.Trust); err != nil {
		return err
	}
	taken := make(map[wire.GatewayID]bool, len(m.Gateways))
	for _, g := range m.Gateways {
		if _, ok := m.RegionByID(g.Region); !ok || taken[g.ID] || !g.ID.Valid() {
			return wire.Malformedf("gateway %q: name or region invalid or taken", g.ID)
		}
		taken[g.ID] = true
	}
	return nil
}

func validateInstitution(i *wire.Institution) *wire.Error {
	if !i.ID.Valid() {
		return wire.Malformedf("an institution's id is its fiscal code, eleven digits")
	}
	if err := validateText("institution's name", i.Name, true, nameTextMax); err != nil {
		return err
	}
	if len(i.Scopes) > scopesMax {
		return wire.Errorf(wire.TooLarge, "%d scopes, %d allowed", len(i.Scopes), scopesMax)
	}
	for n, s := range i.Scopes {
		if len(s) > scopeBytesMax || !wire.Visible(s) {
			return wire.Malformedf("scope %d is no visible ASCII of 1-%d bytes", n, scopeBytesMax)
		}
	}
	return nil
}

func validateService(s *wire.Service) *wire.Error {
	switch {
	case !s.ID.Valid():
		return wire.Malformedf("service without a valid id")
	case !s.Institution.Valid():
		return wire.Malformedf("service without a valid institution")
	case s.MaxAllowedPaymentAmount > amountMax:
		return wire.Malformedf("max_allowed_payment_amount of %d, 0-%d allowed",
			s.MaxAllowedPaymentAmount, uint64(amountMax))
	case len(s.AuthorizedRecipients) > wire.ListMax:
		return wire.Errorf(wire.TooLarge, "%d authorized recipients, %d allowed",
			len(s.AuthorizedRecipients), wire.ListMax)
	case len(s.AuthorizedCIDRs) > wire.ListMax:
		return wire.Errorf(wire.TooLarge, "%d authorized address ranges, %d allowed",
			len(s.AuthorizedCIDRs), wire.ListMax)
	case len(s.SealedRecipients) > sealedBytesMax:
		return wire.Errorf(wire.TooLarge, "%d bytes of sealed recipients, %d allowed",
			len(s.SealedRecipients), sealedBytesMax)
	case (len(s.SealedRecipients) == 0) != (len(s.AuthorizedRecipients) == 0):
		return wire.Malformedf("authorized recipients come both hashed and sealed")
	}
	for i, r := range s.AuthorizedRecipients {
		if r.IsZero() {
			return wire.Malformedf("authorized recipient %d is empty", i)
		}
	}
	for i, c := range s.AuthorizedCIDRs {
		if normal, err := parseCIDR(c); err != nil || normal != c {
			return wire.Malformedf("authorized address range %d is no IPv4 network with mask", i)
		}
	}
	if err := validateText("service's name", s.Name, true, nameTextMax); err != nil {
		return err
	}
	if err := validateText("department", s.Department, false, nameTextMax); err != nil {
		return err
	}
	return validateMetadata(&s.Metadata)
}

func validateMetadata(m *wire.ServiceMetadata) *wire.Error {
	if m.Scope != "" && m.Scope != "NATIONAL" && m.Scope != "LOCAL" {
		return wire.Malformedf("a service's scope is NATIONAL or LOCAL")
	}
	for _, f := range []struct{ name, text string }{
		{"description", m.Description}, {"privacy_url", m.PrivacyURL}, {"web_url", m.WebURL},
		{"tos_url", m.TosURL}, {"email", m.Email}, {"pec", m.PEC}, {"phone", m.Phone},
		{"support_url", m.SupportURL}, {"address", m.Address},
	} {
		if err := validateText(f.name, f.text, false, metadataTextMax); err != nil {
			return err
		}
	}
	return nil
}

func validateText(what, text string, required bool, max int) *wire.Error {
	switch {
	case required && text == "":
		return wire.Malformedf("%s is missing", what)
	case len(text) > max:
		return wire.Errorf(wire.TooLarge, "%s of %d bytes, %d allowed", what, len(text), max)
	case !utf8.ValidString(text):
		return wire.Malformedf("%s is no valid UTF-8", what)
	}
	return nil
}

// parseCIDR reads an address range as the contract writes it: IPv4 dotted, with an optional mask
// of 0-32. Without one it is a single address. Octets above 255 and leading zeros, which the
// contract's pattern lets pass, name no address and are refused.
func parseCIDR(s string) (string, error) {
	if !strings.Contains(s, "/") {
		s += "/32"
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() {
		return "", wire.Malformedf("no IPv4 address range")
	}
	return p.String(), nil
}
