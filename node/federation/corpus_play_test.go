package federation

import (
	"fmt"

	"github.com/staffetta/staffetta/wire"
)

// version1 is what version 1 could log.
func (c *writer) version1() {
	c.add("c", []byte("members of the beginning"))
	c.commands() // an entry that only tells followers what is committed
	c.command(wire.CmdDirectory, &wire.DirectoryOps{List: []wire.DirectoryOp{{
		Kind: wire.OpClaim, Recipient: recipientOf("too early"), Region: "lazio", Epoch: 1}}})
	for kind := wire.CmdFound; kind <= wire.CmdDirectory; kind++ {
		c.commands(wire.Command{Kind: kind, Body: []byte{0xff}}) // cannot be decoded
		c.commands(wire.Command{Kind: kind})                     // says nothing
	}
	m := testMap("lazio", "sicilia", "veneto")
	m.Gateways = []wire.Gateway{{ID: "gateway-1", Region: "lazio"}}
	c.command(wire.CmdFound, m)
	c.command(wire.CmdFound, m)
	c.command(wire.CmdFound, testMap("lazio"))
	for range 120 {
		switch c.rng.IntN(6) {
		case 0:
			c.institution()
		case 1:
			c.service()
		case 2:
			c.command(wire.CmdSetKey, &wire.SetKey{Service: serviceOf(c.rng.IntN(5)),
				Name: wire.KeyName(c.rng.IntN(3)), Hash: c.key()})
		default:
			c.directory()
		}
	}
	c.add("c", []byte("members of the end"))
}

// version2 is what the kinds of version 2 do on the edge; what they do as a rule is in the run.
func (c *writer) version2() {
	c.add("c", []byte("members of the beginning"))
	c.command(wire.CmdFinalise, &wire.RaiseVersion{Version: 2}) // too early
	m := testMap("lazio", "sicilia", "veneto")
	c.command(wire.CmdFound, m)
	c.command(wire.CmdFinalise, &wire.RaiseVersion{Version: 1}) // it is
	c.command(wire.CmdFinalise, &wire.RaiseVersion{Version: 2})
	c.command(wire.CmdFinalise, &wire.RaiseVersion{Version: 2})
	for _, kind := range kindsSince(2) {
		c.commands(wire.Command{Kind: kind, Body: []byte{0xff}}) // cannot be decoded
		c.commands(wire.Command{Kind: kind})                     // says nothing
		c.command(wire.CmdAudit, &wire.Audited{Operator: "operator", Action: "something",
			Command: wire.Command{Kind: kind}})
		if kind == kindsSince(2)[0] {
			c.institution()
		}
	}
	c.command(wire.CmdDealSlots, &wire.DealSlots{Slots: []wire.Slot{1, 2}, To: "sicilia"})
	c.command(wire.CmdDealSlots, &wire.DealSlots{Slots: []wire.Slot{wire.Slots}, To: "sicilia"})
	c.command(wire.CmdDealSlots, &wire.DealSlots{Slots: []wire.Slot{1}, To: "molise"})
	c.directory()
}

// version2Orders is what operators order of regions.
func (c *writer) version2Orders() {
	order := func(kind wire.OrderKind, region, other wire.RegionID) {
		o := &wire.RegionOrder{Kind: kind, Region: region, Other: other}
		c.command(wire.CmdRegionOrder, o)
		c.command(wire.CmdAudit, &wire.Audited{Operator: "operator", Action: kind.Action(),
			Subject: o.AuditSubject(), Command: command(wire.CmdRegionOrder, o)})
	}
	order(wire.OrderDiscard, "lazio", "sicilia") // too early
	c.command(wire.CmdFound, testMap("lazio", "sicilia", "veneto"))
	c.command(wire.CmdFinalise, &wire.RaiseVersion{Version: 2})
	c.commands(wire.Command{Kind: wire.CmdRegionOrder, Body: []byte{0xff}})
	c.commands(wire.Command{Kind: wire.CmdRegionOrder})
	order(wire.OrderDiscard, "lazio", "sicilia")
	order(wire.OrderFetch, "veneto", "lazio")
	order(wire.OrderFetch, "veneto", "veneto")
	order(wire.OrderFetch, "veneto", "molise")
	order(wire.OrderDiscard, "molise", "lazio")
	order(99, "lazio", "sicilia")
}

func institutionOf(n int) wire.InstitutionID {
	return wire.InstitutionID(fmt.Sprintf("%011d", n))
}

func serviceOf(n int) wire.ServiceID {
	return wire.ServiceID(fmt.Sprintf("01ARZ3NDEKTSV4RRFFQ69G5F%02d", n))
}

// key is one of a few, so that services contend for them, or none.
func (c *writer) key() wire.KeyHash {
	if c.rng.IntN(4) == 0 {
		return wire.KeyHash{}
	}
	return keyOf(fmt.Sprint(c.rng.IntN(8)))
}

func (c *writer) institution() {
	i := &wire.Institution{ID: institutionOf(c.rng.IntN(4)),
		Name: fmt.Sprint("Comune ", c.rng.IntN(3))}
	if c.rng.IntN(3) == 0 {
		i.Scopes = []string{"ApiMessageWriteAdvanced", "ApiLimitedProfileRead"}
	}
	c.command(wire.CmdPutInstitution, i)
}

func (c *writer) service() {
	s := &wire.Service{ID: serviceOf(c.rng.IntN(4)), Institution: institutionOf(c.rng.IntN(5)),
		Name: "Tributi", Department: fmt.Sprint("Ufficio ", c.rng.IntN(3)),
		RequireSecureChannels: c.rng.IntN(2) == 0, MaxAllowedPaymentAmount: c.rng.Uint64N(100),
		Metadata: wire.ServiceMetadata{Scope: "LOCAL", Description: "Una descrizione",
			PrivacyURL: "https://example.it/privacy", Email: "tributi@example.it"},
		Keys: [2]wire.KeyHash{c.key(), c.key()}}
	if c.rng.IntN(2) == 0 {
		s.AuthorizedRecipients = []wire.Recipient{recipientOf("one"), recipientOf("two")}
		s.SealedRecipients = []byte("sealed")
		s.AuthorizedCIDRs = []string{"192.0.2.0/24"}
	}
	c.command(wire.CmdPutService, s)
}

// directory adds a batch of operations, most of which contradict each other.
func (c *writer) directory() {
	var ops wire.DirectoryOps
	for range 1 + c.rng.IntN(4) {
		ops.List = append(ops.List, wire.DirectoryOp{
			Kind:      wire.OpClaim + wire.DirectoryOpKind(c.rng.IntN(3)),
			Recipient: recipientOf(fmt.Sprint("citizen ", c.rng.IntN(10))),
			Region:    []wire.RegionID{"lazio", "sicilia", "veneto", "molise"}[c.rng.IntN(4)],
			Epoch:     wire.Epoch(c.rng.IntN(8) / 7 * 2), Active: c.rng.IntN(2) == 0})
		if last := &ops.List[len(ops.List)-1]; last.Epoch == 0 && c.rng.IntN(6) > 0 {
			last.Epoch = 1
		}
	}
	c.command(wire.CmdDirectory, &ops)
}
