package transfer

import (
	"github.com/staffetta/staffetta/wire"
)

// settle lets everybody finish: all regions have power, and leaders do what is to be done until
// nothing is left. Nobody asks for anything new.
func (w *explored) settle() {
	for _, r := range w.regions {
		if r.away {
			w.power(r)
		}
	}
	for range 60 {
		for _, r := range w.regions {
			r.reconcile()
			if !r.serves() {
				continue
			}
			r.driveClaims(nil)
			r.driveMoves(nil)
			for _, p := range w.plots {
				r.driveSlot(p)
			}
			for _, other := range w.regions {
				r.relay(other)
			}
			w.housekeep(r)
		}
		w.now = w.now.Add(10e9)
		if w.broken > 0 {
			return
		}
	}
}

// judge looks at how everything ended.
func (w *explored) judge() {
	for _, p := range w.plots {
		for _, code := range p.codes {
			w.judgeCode(p, w.recipient(code))
		}
		if epoch, held := w.region(w.currentMap().Anchor(p.slot)).state.SlotAt(p.slot); !held ||
			epoch != w.currentMap().SlotEpoch(p.slot) {
			w.finding(p, "the slot's anchor does not have it: %d %v", epoch, held)
		}
	}
	for _, r := range w.regions {
		r.judgeKeys()
		if b := r.state.Broken(); b > 0 {
			w.finding(w.plots[0], "%s: %d records contradict what is there", r.id, b)
		}
		if list, err := r.state.Refused(wire.Recipient{}, 1); err != nil || len(list) > 0 {
			w.finding(w.plotOf(list[0].Recipient), "%s: a refused move stays for ever", r.id)
		}
		totals, err := r.state.SpoolTotals()
		if err != nil || len(totals) > 0 {
			w.finding(w.plots[0], "%s: something waits in the spool: %+v, %v", r.id, totals, err)
		}
	}
}

// judgeCode finds the one region that decides for a code.
func (w *explored) judgeCode(p *exploredPlot, code wire.Recipient) {
	e := w.directory(code)
	var owners []wire.RegionID
	for _, r := range w.regions {
		own, _, err := r.state.Ownership(code)
		if err != nil {
			w.t.Fatal(err)
		}
		p.note("%s: %s: %+v", r.id, short(code), own)
		if own.State == wire.Owned {
			owners = append(owners, r.id)
			if e.State != wire.Claimed || e.Region != r.id || e.Epoch != own.Epoch {
				w.finding(p, "%s owns %s at %d, and the directory has %+v", r.id, short(code),
					own.Epoch, e)
			}
		}
		if own.State == wire.Claiming {
			w.finding(p, "%s claims %s for ever; the directory has %+v", r.id, short(code), e)
		}
		if m, err := r.state.Moves(movesScan); err != nil {
			w.t.Fatal(err)
		} else {
			for i := range m {
				if m[i].Recipient == code {
					w.finding(p, "%s: a move of %s has no end: %+v; the directory has %+v", r.id,
						short(code), m[i], e)
				}
			}
		}
	}
	want := 1
	if e.State == wire.Unclaimed {
		want = 0
	}
	if len(owners) != want {
		w.finding(p, "%v own %s, and the directory has %+v", owners, short(code), e)
	}
}

// judgeKeys holds keys against the messages that they name.
func (r *exploredRegion) judgeKeys() {
	db := r.state.Store()
	for kind, messages := range map[byte]string{'k': "ij", 'z': "y"} {
		err := db.Iterate([]byte{kind}, []byte{kind + 1}, false, func(k, v []byte) (bool, error) {
			found := false
			for _, m := range []byte(messages) {
				key := append(append([]byte{m}, k[1:17]...), v[:16]...)
				_, ok, err := db.Get(key)
				if err != nil {
					return false, err
				}
				found = found || ok
			}
			if !found {
				r.w.finding(r.w.plotOf(wire.Recipient(k[1:17])), "%s: a key of %s leads to no "+
					"message", r.id, short(wire.Recipient(k[1:17])))
			}
			return true, nil
		})
		if err != nil {
			r.w.t.Fatal(err)
		}
	}
}
