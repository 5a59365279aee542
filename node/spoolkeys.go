package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// keysPeriod is how often a region's leader looks at the region's key.
const keysPeriod = time.Second

// keepKeys sees to it that the region has a key pair that is young enough and that the map has
// its public half; a duty of the region's leader.
func (s *spool) keepKeys(ctx context.Context) error {
	tick := time.NewTicker(keysPeriod)
	defer tick.Stop()
	for {
		if err := s.keyRound(ctx); err != nil && ctx.Err() == nil {
			level := slog.LevelWarn
			if wire.Retriable(err) {
				level = slog.LevelDebug
			}
			s.n.Log.LogAttrs(ctx, level, "the region's key waits", slog.String("reason",
				err.Error()))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *spool) keyRound(ctx context.Context) error {
	m, ok := s.n.Seat.Federation.Map()
	if !ok || s.n.CheckLeads() != nil {
		return nil
	}
	newest, err := s.n.Seat.Region.NewestRegionKey()
	if err != nil {
		return err
	}
	published := publishedKey(m, s.n.RegionID)
	now, err := s.n.RegionTime(ctx)
	if err != nil {
		return err
	}
	// A region that was restored from a backup may lack the key that the map has.
	if newest == nil || newest.ID < published || newest.At.Add(s.n.cfg.Spool.KeyAge) < now {
		if newest, err = s.newKey(ctx, newest, published); err != nil {
			return err
		}
	}
	if newest.ID <= published {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	return s.n.CallFederation(ctx, wire.MethodPublishRegionKey, &wire.PublishRegionKey{
		Region: s.n.RegionID, Key: wire.RegionKey{ID: newest.ID, Public: newest.Public}}, nil)
}

// publishedKey is the number of the newest key that the map has of a region; 0: none.
func publishedKey(m *wire.Map, region wire.RegionID) uint32 {
	r, _ := m.RegionByID(region)
	if len(r.Keys) == 0 {
		return 0
	}
	return r.Keys[len(r.Keys)-1].ID
}

// newKey logs a new key pair, numbered above all that there are.
func (s *spool) newKey(ctx context.Context, newest *wire.PrivateRegionKey, published uint32) (
	*wire.PrivateRegionKey, error) {
	id := published + 1
	if newest != nil {
		id = max(id, newest.ID+1)
	}
	k, err := wire.NewRegionKey(id)
	if err != nil {
		return nil, err
	}
	if err := s.n.RegionQueue.Do(ctx, wire.CmdRegionKey, k, nil); err != nil {
		return nil, err
	}
	s.n.Log.Info("the region has a new key", "key", id)
	return s.n.Seat.Region.RegionKey(id) // with the log's time
}

// private is one of the region's private keys. NotFound when it has none of that number.
func (s *spool) private(id uint32) (*wire.RegionPrivateKey, error) {
	s.mu.Lock()
	k := s.keys[id]
	s.mu.Unlock()
	if k != nil {
		return k, nil
	}
	pair, err := s.n.Seat.Region.RegionKey(id)
	if err != nil {
		return nil, err
	}
	if k, err = pair.Open(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.keys) >= wire.RegionKeysMax {
		clear(s.keys)
	}
	s.keys[id] = k
	return k, nil
}

// rotateRegionKey answers MethodRotateRegionKey.
func (n *Node) rotateRegionKey(ctx context.Context, _ link.Identity, q *wire.RotateRegionKey) (
	*wire.RegionKeyInfo, error) {
	if q.Region != n.RegionID {
		return nil, wire.Malformedf("this is region %s, not %q", n.RegionID, q.Region)
	}
	rotate := n.RotateRegionKey
	if q.DryRun {
		rotate = n.regionKeyInfo
	}
	info, err := rotate(ctx, q.After)
	if err != nil {
		return nil, err
	}
	return info, nil
}

// RotateRegionKey makes the region a new key when there is none newer than after, and returns the
// newest. The leader publishes it on its own. NotLeader on another node.
func (n *Node) RotateRegionKey(ctx context.Context, after uint32) (*wire.RegionKeyInfo, error) {
	info, err := n.regionKeyInfo(ctx, after)
	if err != nil || info.ID > after {
		return info, err
	}
	newest, err := n.Seat.Region.NewestRegionKey()
	if err != nil {
		return nil, err
	}
	published := publishedKey(n.Map(), n.RegionID)
	if newest, err = n.spool.newKey(ctx, newest, max(published, after)); err != nil {
		return nil, err
	}
	return &wire.RegionKeyInfo{ID: newest.ID, At: newest.At, Public: newest.Public}, nil
}

// regionKeyInfo is the region's newest key, number 0 before there is one.
func (n *Node) regionKeyInfo(ctx context.Context, _ uint32) (*wire.RegionKeyInfo, error) {
	if err := n.CheckLeads(); err != nil {
		return nil, err
	}
	if err := n.RegionGroup.Read(ctx); err != nil {
		return nil, err
	}
	k, err := n.Seat.Region.NewestRegionKey()
	if err != nil || k == nil {
		return new(wire.RegionKeyInfo), err
	}
	return &wire.RegionKeyInfo{ID: k.ID, At: k.At, Public: k.Public,
		Published: k.ID <= publishedKey(n.Map(), n.RegionID)}, nil
}

// publishRegionKey answers MethodPublishRegionKey: a region's leader publishes its own key, an
// operator one that a rotation gave, so that the audit tells of it.
func (n *Node) publishRegionKey(ctx context.Context, from link.Identity, p *wire.PublishRegionKey) (
	*seat.None, error) {
	if err := p.Key.Usable(); err != nil {
		return nil, err
	}
	if from.Role == link.RoleOperator {
		_, err := n.Administrate(ctx, from, "region-key rotate", wire.CmdPublishRegionKey, p)
		return nil, err
	}
	if p.Region != from.Region {
		return nil, wire.Errorf(wire.Forbidden, "a node speaks for its own region only")
	}
	return nil, n.FederationQueue.Do(ctx, wire.CmdPublishRegionKey, p, nil)
}
