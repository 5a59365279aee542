package region

import (
	"github.com/staffetta/staffetta/wire"
)

// moving runs a step of a move where the story is: the old owner's or the new one's.
func (s *story) moving(f *fixture, w words) {
	_, r := s.who(w.arg(1))
	m := s.moves[r]
	switch w.arg(2) {
	case "to":
		res := f.do(wire.CmdMoveIntent, &wire.MoveIntent{Recipient: r, To: wire.RegionID(w.arg(3))})
		if res.Err == nil {
			if m = f.moveOf(res.Body); m.State != wire.MoveNone {
				s.moves[r] = m
			}
		}
		s.result(res, "%s, for epoch %d", m.State, m.Epoch)
	case "fence":
		s.result(f.do(wire.CmdMoveFence, leaving(m)), "given up")
	case "arrive":
		s.arrive(f, m)
	case "done":
		s.result(f.do(wire.CmdMoveDone, leaving(m)), "the move is over")
	case "abort":
		s.result(f.do(wire.CmdMoveAbort, &wire.MoveRef{Recipient: r}), "asked for the end")
	case "refuse":
		var p wire.MoveProgress
		res := f.do(wire.CmdMoveRefuse, coming(m))
		if res.Err == nil && wire.Decode(res.Body, &p) != nil {
			s.t.Fatal("answer cannot be decoded")
		}
		s.result(res, "refused %v, owned %v", p.Refused, p.Owned)
	case "undo":
		res := f.do(wire.CmdMoveUndo, leaving(m))
		what := "nothing changes"
		if own, _, _ := f.Ownership(r); own.State == wire.Owned {
			what = "taken up again"
		}
		s.result(res, "%s", what)
	case "erase":
		f.eraseRemains()
		s.say("what is due is erased")
	default:
		s.t.Fatalf("no step %q of a move", w.arg(2))
	}
}

// arrive hands over everything that the old owner has.
func (s *story) arrive(f *fixture, m wire.Move) {
	var p wire.MoveProgress
	for !p.Owned {
		res := f.do(wire.CmdMovePage, s.regions[string(m.Region)].page(m, p.Next))
		if res.Err != nil {
			s.refused(res.Err)
			return
		}
		if p = (wire.MoveProgress{}); wire.Decode(res.Body, &p) != nil {
			s.t.Fatal("answer cannot be decoded")
		}
		if p.Refused {
			s.say("refused: the move was aborted")
			return
		}
	}
	s.say("arrived")
}
