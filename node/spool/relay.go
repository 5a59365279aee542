package spool

import (
	"context"
	"log/slog"
	"time"

	"github.com/staffetta/staffetta/internal/backoff"
	"github.com/staffetta/staffetta/node/region"
	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

const (
	// searchWait bounds one search for an owner's leader, in which all its nodes are asked at once.
	// Searches follow each other without a growing pause, so that an owner that comes back is
	// found within a second or so, however long it was away.
	searchWait = 700 * time.Millisecond
	// relayPeriod is how soon a relay that failed is tried again.
	relayPeriod = 250 * time.Millisecond
	// relayWait bounds a relay: RelayBytesMax make some dozens of the owner's log entries.
	relayWait = 20 * time.Second
	// undecidedFor is how long a block rests of which the owner could not say everything, such as
	// during a recipient's move; refusedFor one that the owner could not read.
	undecidedFor = time.Second
	refusedFor   = time.Minute
)

// stuck is a block that could not be relayed when its turn came.
type stuck struct {
	owner   wire.RegionID
	until   time.Time
	refused bool // by the owner, who cannot read it
	why     string
}

// RelayAll brings what waits to its owners for as long as this node leads the region: one relay
// at a time to each, all owners side by side, so that one that is away delays nobody.
func (s *Spool) RelayAll(ctx context.Context) error {
	defer s.forgiveAll()
	busy, again := make(map[wire.RegionID]bool), make(map[wire.RegionID]bool)
	freed := make(chan wire.RegionID, wire.RegionsMax)
	defer func() {
		for range busy {
			<-freed
		}
	}()
	tick := time.NewTicker(undecidedFor)
	defer tick.Stop()
	for {
		added := s.Region.SpoolChanged()
		totals, err := s.Region.SpoolTotals()
		if err != nil {
			return err
		}
		for _, t := range totals {
			if again[t.Owner] = busy[t.Owner]; busy[t.Owner] {
				continue
			}
			busy[t.Owner] = true
			go func() {
				s.relayTo(ctx, t.Owner)
				freed <- t.Owner
			}()
		}
		for idle := true; idle; {
			select {
			case <-added:
				idle = false
			case <-tick.C:
				idle = false
			case owner := <-freed:
				delete(busy, owner)
				idle = !again[owner] // else something came since it began
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// relayTo finds the owner's leader and brings it what waits, oldest first, until nothing does.
func (s *Spool) relayTo(ctx context.Context, owner wire.RegionID) {
	found := false
	for ctx.Err() == nil {
		if !found {
			if found = s.search(ctx, owner); !found {
				continue
			}
		}
		blocks, err := s.Region.SpooledFor(owner, s.rests)
		if err != nil || len(blocks) == 0 {
			return // an error of the database is said where the next write fails
		}
		if err := s.relay(ctx, owner, blocks); err != nil && ctx.Err() == nil {
			s.Log.LogAttrs(ctx, slog.LevelWarn, "a relay failed", slog.String("owner",
				string(owner)), slog.Int("blocks", len(blocks)),
				slog.String("reason", err.Error()))
			found = false
			backoff.Pause(ctx, relayPeriod)
		}
	}
}

// search reports whether the owner's leader answers. All its nodes are asked at once: each may
// need its time to find out that it cannot be reached.
func (s *Spool) search(ctx context.Context, owner wire.RegionID) bool {
	attempt, cancel := context.WithTimeout(ctx, searchWait)
	defer cancel()
	nodes := s.NodesOf(owner)
	answers := make(chan error, len(nodes))
	for _, id := range nodes {
		go func() {
			_, err := s.Link.Call(attempt, link.Peer{Node: id}, wire.MethodProbeRegion, nil)
			answers <- err
		}()
	}
	found := false
	for range nodes {
		if err := <-answers; err == nil && !found {
			found = true
			cancel()
		}
	}
	if !found {
		backoff.Pause(ctx, relayPeriod)
	}
	return found
}

// ask calls the owner's leader. Only calls that may be repeated go this way.
func (s *Spool) ask(ctx context.Context, owner wire.RegionID, m wire.Method, req []byte) ([]byte,
	error) {
	s.mu.Lock()
	g := s.owners[owner]
	if g == nil {
		g = link.NewGroup(seat.RegionGroup(owner), s.Link)
		s.owners[owner] = g
	}
	s.mu.Unlock()
	nodes := s.NodesOf(owner)
	peers := make([]link.Peer, len(nodes))
	for i, id := range nodes {
		peers[i].Node = id
	}
	g.Know(peers)
	answer, _, err := g.Ask(ctx, link.Ask{Method: m, Req: req, Again: true,
		Wait: relayWait / 2})
	return answer, err
}

// relay brings blocks to the owner and logs what became of them. Whoever dies meanwhile, they go
// again, and the owner answers by message id what it answered first.
func (s *Spool) relay(ctx context.Context, owner wire.RegionID,
	blocks []region.SpooledBlock) error {
	ctx, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	if err := s.offer(ctx, owner, blocks); err != nil {
		return err
	}
	req := wire.Relay{Blocks: make([]wire.SealedBlock, len(blocks))}
	for i := range blocks {
		req.Blocks[i] = blocks[i].Sealed
	}
	answer, err := s.ask(ctx, owner, wire.MethodRelay, wire.Encode(&req))
	if err != nil {
		return err
	}
	var got wire.Relayed
	if err := wire.Decode(answer, &got); err != nil {
		return err
	}
	if len(got.Blocks) != len(blocks) {
		return wire.Errorf(wire.Internal, "region %s answered %d blocks of %d", owner,
			len(got.Blocks), len(blocks))
	}
	var commands []wire.Command
	var done []int
	for i := range blocks {
		b, r := &blocks[i], &got.Blocks[i]
		switch {
		case r.Err != nil:
			s.rest(owner, b.Seq, true, r.Err)
		case len(r.Outcomes) != len(b.IDs):
			s.rest(owner, b.Seq, true, wire.Malformedf("%d outcomes of %d records",
				len(r.Outcomes), len(b.IDs)))
		case undecided(r.Outcomes):
			s.rest(owner, b.Seq, false, nil)
		default:
			done = append(done, i)
			commands = append(commands, wire.Command{Kind: wire.CmdSpoolDone,
				Body: wire.Encode(&wire.SpoolDone{Owner: owner, Seq: b.Seq, Outcomes: r.Outcomes,
					Resealed: r.Resealed})})
		}
	}
	if len(commands) == 0 {
		return nil
	}
	results, err := s.RegionQueue.Submit(ctx, commands)
	if err != nil {
		return err
	}
	for i, at := range done {
		if e := results[i].Err; e != nil {
			s.rest(owner, blocks[at].Seq, true, e)
			continue
		}
		s.forgive(blocks[at].Seq)
		s.stats.relayed(&blocks[at], got.Blocks[at].Outcomes)
	}
	return nil
}

// offer logs that blocks go to their owner, those of which the log does not say so yet: whoever
// asks for their messages from here on is not told that they wait without the owner's word.
func (s *Spool) offer(ctx context.Context, owner wire.RegionID,
	blocks []region.SpooledBlock) error {
	if s.Region.ActiveVersion() < wire.VersionOffered {
		return nil
	}
	m := wire.SpoolOffer{Owner: owner}
	for i := range blocks {
		if !blocks[i].Offered {
			m.Blocks = append(m.Blocks, blocks[i].Seq)
		}
	}
	if len(m.Blocks) == 0 {
		return nil
	}
	return s.RegionQueue.Do(ctx, wire.CmdSpoolOffer, &m, nil)
}

func undecided(list []wire.Outcome) bool {
	for i := range list {
		if list[i].Kind == wire.Undecided {
			return true
		}
	}
	return false
}

// rest leaves a block alone for a while, so that those behind it go on. Nothing is dropped: what
// an owner cannot read it may be able to read after a restart, an upgrade or a restore.
func (s *Spool) rest(owner wire.RegionID, seq uint64, refused bool, why *wire.Error) {
	pause := undecidedFor
	if refused {
		pause = refusedFor
	}
	s.mu.Lock()
	known := s.stuck[seq].refused
	b := stuck{owner: owner, until: time.Now().Add(pause), refused: refused}
	if refused {
		b.why = why.Error()
	}
	s.stuck[seq] = b
	s.mu.Unlock()
	if refused && !known {
		s.Log.Error("a spooled block is refused and stays", "owner", owner, "block", seq,
			"reason", why.Error())
	}
}

func (s *Spool) rests(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.stuck[seq].until)
}

func (s *Spool) forgive(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stuck, seq)
}

// forgiveAll forgets everything, when another leader relays from here on.
func (s *Spool) forgiveAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.stuck)
}

// countRefused adds the blocks that owners could not read to what waits for them. Only the leader
// knows them.
func (s *Spool) countRefused(totals []wire.SpoolStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.stuck {
		for i := range totals {
			if b.refused && totals[i].Owner == b.owner {
				totals[i].Refused++
			}
		}
	}
}
