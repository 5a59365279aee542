package transfer

import "github.com/staffetta/staffetta/wire"

// A status that was read once as final is never followed by one that is not, or by another one,
// whoever is asked. Gateways ask the owner, then the anchor, then the home region's spool, and one
// that cannot reach an owner believes a spool that says that no owner can have the message.

// judgeStatus holds what can be read about the messages of a history against what could be read
// before.
func (w *explored) judgeStatus(p *exploredPlot) {
	for i := range p.sent {
		rec := &p.sent[i]
		q := wire.FindMessage{Recipient: rec.RecipientUnder(w.hasher), ID: rec.ID}
		for _, r := range w.regions {
			view, err := r.state.FindMessage(q)
			if err != nil {
				continue
			}
			before, told := w.told[q]
			if told && before != view.Verdict {
				w.finding(p, "%s: %s was %v, and is %v", r.id, rec.ID, before, view.Verdict)
			}
			w.told[q] = view.Verdict
		}
		before, told := w.told[q]
		if !told {
			continue
		}
		for _, r := range w.regions {
			v, err := r.state.FindSpooled(q)
			if err == nil && r.serves() && v.RelayedAt == 0 && !v.Offered {
				w.finding(p, "%s: %s was %v, and the spool says that no owner can have it", r.id,
					rec.ID, before)
			}
		}
	}
}

// forget drops rejections that no region has any more: their time was over. A spool that was restored
// may bring such a message once more, and its owner decides it anew.
func (w *explored) forget() {
	for q, verdict := range w.told {
		known := verdict.Status != wire.Rejected
		for _, r := range w.regions {
			_, err := r.state.FindMessage(q)
			known = known || err == nil
		}
		if !known {
			delete(w.told, q)
		}
	}
}
