package spool

import (
	"context"
	"time"

	"github.com/staffetta/staffetta/node/seat"
	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// keysPeriod is how often a region's leader looks at the region's key.
const keysPeriod = time.Second

// KeepKeys sees to it that the region has a key pair that is young enough and that the map has
// its public half; a duty of the region's leader.
func (s *Spool) KeepKeys(ctx context.Context) error {
	return s.Rounds(ctx, keysPeriod, "the region's key waits", s.keyRound)
}

func (s *Spool) keyRound(ctx context.Context) error {
	m, ok := s.Federation.Map()
	if !ok || s.CheckLeads() != nil {
		return nil
	}
	newest, err := s.Region.NewestRegionKey()
	if err != nil {
		return err
	}
	published := publishedKey(m, s.RegionID)
	now, err := s.RegionTime(ctx)
	if err != nil {
		return err
	}
	// A region that was restored from a backup may lack the key that the map has.
	if newest == nil || newest.ID < published || newest.At.Add(s.cfg.KeyAge) < now {
		if newest, err = s.newKey(ctx, newest, published); err != nil {
			return err
		}
	}
	if newest.ID <= published {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wire.OwnerWait)
	defer cancel()
	return s.CallFederation(ctx, wire.MethodPublishRegionKey, &wire.PublishRegionKey{
		Region: s.RegionID, Key: wire.RegionKey{ID: newest.ID, Public: newest.Public}}, nil)
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
func (s *Spool) newKey(ctx context.Context, newest *wire.PrivateRegionKey, published uint32) (
	*wire.PrivateRegionKey, error) {
	id := published + 1
	if newest != nil {
		id = max(id, newest.ID+1)
	}
	k, err := wire.NewRegionKey(id)
	if err != nil {
		return nil, err
	}
	if err := s.RegionQueue.Do(ctx, wire.CmdRegionKey, k, nil); err != nil {
		return nil, err
	}
	s.Log.Info("the region has a new key", "key", id)
	return s.Region.RegionKey(id) // with the log's time
}

// private is one of the region's private keys. NotFound when it has none of that number.
func (s *Spool) private(id uint32) (*wire.RegionPrivateKey, error) {
	s.mu.Lock()
	k := s.keys[id]
	s.mu.Unlock()
	if k != nil {
		return k, nil
	}
	pair, err := s.Region.RegionKey(id)
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
func (s *Spool) rotateRegionKey(ctx context.Context, _ link.Identity, q *wire.RotateRegionKey) (
	*wire.RegionKeyInfo, error) {
	if q.Region != s.RegionID {
		return nil, wire.Malformedf("this is region %s, not %q", s.RegionID, q.Region)
	}
	rotate := s.RotateRegionKey
	if q.DryRun {
		rotate = s.regionKeyInfo
	}
	info, err := rotate(ctx, q.After)
	if err != nil {
		return nil, err
	}
	return info, nil
}

// RotateRegionKey makes the region a new key when there is none newer than after, and returns the
// newest. The leader publishes it on its own. NotLeader on another node.
func (s *Spool) RotateRegionKey(ctx context.Context, after uint32) (*wire.RegionKeyInfo, error) {
	info, err := s.regionKeyInfo(ctx, after)
	if err != nil || info.ID > after {
		return info, err
	}
	newest, err := s.Region.NewestRegionKey()
	if err != nil {
		return nil, err
	}
	published := publishedKey(s.Map(), s.RegionID)
	if newest, err = s.newKey(ctx, newest, max(published, after)); err != nil {
		return nil, err
	}
	return &wire.RegionKeyInfo{ID: newest.ID, At: newest.At, Public: newest.Public}, nil
}

// regionKeyInfo is the region's newest key, number 0 before there is one.
func (s *Spool) regionKeyInfo(ctx context.Context, _ uint32) (*wire.RegionKeyInfo, error) {
	if err := s.CheckLeads(); err != nil {
		return nil, err
	}
	if err := s.RegionGroup.Read(ctx); err != nil {
		return nil, err
	}
	k, err := s.Region.NewestRegionKey()
	if err != nil || k == nil {
		return new(wire.RegionKeyInfo), err
	}
	return &wire.RegionKeyInfo{ID: k.ID, At: k.At, Public: k.Public,
		Published: k.ID <= publishedKey(s.Map(), s.RegionID)}, nil
}

// publishRegionKey answers MethodPublishRegionKey: a region's leader publishes its own key, an
// operator one that a rotation gave, so that the audit tells of it.
func (s *Spool) publishRegionKey(ctx context.Context, from link.Identity,
	p *wire.PublishRegionKey) (
	*seat.None, error) {
	if err := p.Key.Usable(); err != nil {
		return nil, err
	}
	if from.Role == link.RoleOperator {
		_, err := s.Administrate(ctx, from, "region-key rotate", wire.CmdPublishRegionKey, p)
		return nil, err
	}
	if p.Region != from.Region {
		return nil, wire.Errorf(wire.Forbidden, "a node speaks for its own region only")
	}
	return nil, s.FederationQueue.Do(ctx, wire.CmdPublishRegionKey, p, nil)
}
