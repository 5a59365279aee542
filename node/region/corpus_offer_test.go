package region

import "github.com/staffetta/staffetta/wire"

func init() {
	corpora["v3-offers"] = (*writer).version3Offers
	corpora["v3-offers-restored"] = (*writer).version3OffersRestored
}

// version3Offers is what a log says of blocks that went to their owners: of one from before there
// were marks, of records that a gateway had brought somewhere, of a relay, and of what was sealed
// anew.
func (c *writer) version3Offers() {
	c.membership("members of the beginning")
	sicilia, puglia := newAway(c.t, "sicilia"), newAway(c.t, "puglia")
	spool := func(offered []uint8, records ...wire.Record) {
		b := c.sealed(sicilia, records...)
		b.Offered = offered
		c.command(wire.CmdSpool, &wire.Spool{Block: b, BytesMax: plenty})
	}
	before := c.message(codeOf("before"), someService, "uno")
	spool([]uint8{0}, before) // names what has no effect yet
	c.offeredAre(false, before)
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: wire.VersionOffered})
	c.offeredAre(true, before)
	for _, body := range [][]byte{{0xff}, nil} {
		c.commands(wire.Command{Kind: wire.CmdSpoolOffer, Body: body})
	}
	a := c.message(codeOf("anna"), someService, "uno")
	b := c.message(codeOf("bice"), someService, "due")
	d := c.message(codeOf("dina"), someService, "tre")
	spool([]uint8{1, 200}, a, b)
	spool(nil, d)
	c.offeredAre(false, a, d)
	c.offeredAre(true, b)
	seq := c.waiting(sicilia)[1].Seq
	c.command(wire.CmdSpoolOffer, &wire.SpoolOffer{Owner: "sicilia", Blocks: []uint64{seq, 99}})
	c.command(wire.CmdSpoolOffer, &wire.SpoolOffer{Owner: "puglia", Blocks: []uint64{seq + 1}})
	c.offeredAre(true, a, b)
	c.offeredAre(false, d)
	moved := func(seq uint64, r wire.Record) {
		c.command(wire.CmdSpoolDone, &wire.SpoolDone{Owner: "sicilia", Seq: seq,
			Outcomes: []wire.Outcome{{Kind: wire.NotOwner, Region: "puglia", Epoch: 2}},
			Resealed: []wire.Resealed{{Sealed: c.sealed(puglia, r).Sealed, Positions: []uint8{0}}}})
	}
	moved(seq+1, d) // never offered: an operator's restore can do that
	c.offeredAre(false, d)
	moved(1, before)
	c.offeredAre(true, before)
}

// version3OffersRestored is a region that was restored: what waits may have gone anywhere.
func (c *writer) version3OffersRestored() {
	c.membership("members of the beginning")
	c.command(wire.CmdRaiseVersion, &wire.RaiseVersion{Version: wire.VersionOffered})
	r := c.message(codeOf("anna"), someService, "uno")
	c.command(wire.CmdSpool, &wire.Spool{Block: c.sealed(newAway(c.t, "sicilia"), r),
		BytesMax: plenty})
	c.offeredAre(false, r)
	c.command(wire.CmdReconcile, &wire.Reconcile{Incarnation: 1, Done: true})
	c.offeredAre(true, r)
}

// offeredAre holds what the spool says of messages that wait.
func (f *fixture) offeredAre(want bool, list ...wire.Record) {
	f.t.Helper()
	for _, r := range list {
		if v := f.spooledView(r); v.Offered != want || v.RelayedAt != 0 {
			f.t.Errorf("%s waits, offered: %v, want %v", r.FiscalCode, v.Offered, want)
		}
	}
}
