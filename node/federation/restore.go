package federation

import (
	"fmt"
	"slices"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// A federation that was restored from a backup has forgotten claims, moves, deals of slots and
// restores of regions that came after the copy was made. The regions' own logs know of them: each
// reports what it owns and what it gave up, and the higher epoch wins. Until all have, the
// directory takes no claim and no move.

// reportsKey is the row of which regions have reported, to which incarnation.
var reportsKey = []byte("b")

type reportsRow struct {
	Incarnation uint32
	Reported    []wire.RegionID
	Waived      []wire.RegionID // whose report is not waited for; it may come later
}

// Fields declares the row.
func (r *reportsRow) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &r.Incarnation)
	codec.Strings(c, 2, &r.Reported)
	codec.Strings(c, 3, &r.Waived)
}

// of is the row for an incarnation, empty when what is stored is of another.
func (r reportsRow) of(incarnation uint32) reportsRow {
	if r.Incarnation == incarnation {
		return r
	}
	return reportsRow{Incarnation: incarnation}
}

// awaited are the regions of a map that have nodes and are waited for.
func (r *reportsRow) awaited(m *wire.Map) (list []wire.RegionID) {
	for _, region := range m.Regions {
		nodes := slices.ContainsFunc(m.Nodes,
			func(n wire.Node) bool { return n.Region == region.ID })
		if nodes && !slices.Contains(r.Reported, region.ID) &&
			!slices.Contains(r.Waived, region.ID) {
			list = append(list, region.ID)
		}
	}
	return list
}

// Incarnation counts how often the group was restored from a backup.
func (s *State) Incarnation() uint32 { return s.db.Identity().Incarnation }

// Awaited are the regions whose reports a restored federation waits for.
func (s *State) Awaited() ([]wire.RegionID, error) {
	row, f, err := s.reports()
	if err != nil || f == nil {
		return nil, err
	}
	return row.awaited(f.m), nil
}

// Unreported reports whether a region is to report to a restored federation, waited for or not.
func (s *State) Unreported(region wire.RegionID) (bool, error) {
	row, f, err := s.reports()
	return f != nil && !slices.Contains(row.Reported, region), err
}

// reports reads which regions have reported; without a founding when none has to.
func (s *State) reports() (row reportsRow, f *founding, err error) {
	incarnation := s.Incarnation()
	if f = s.founded.Load(); incarnation == 0 || f == nil {
		return row, nil, nil
	}
	b, ok, err := s.db.Get(reportsKey)
	if err == nil && ok {
		err = wire.Decode(b, &row)
	}
	if err != nil {
		return row, nil, fmt.Errorf("federation: reports of regions: %w", err)
	}
	return row.of(incarnation), f, nil
}

// Restore says how far a restored federation is.
func (s *State) RestoreProgress() (wire.Restore, error) {
	awaited, err := s.Awaited()
	origin := s.db.Origin()
	return wire.Restore{Group: group, Incarnation: s.Incarnation(), Done: len(awaited) == 0,
		Index: origin.Index, Time: origin.Taken, Awaited: awaited}, err
}

// DirectoryItem is a code's entry.
type DirectoryItem struct {
	Recipient wire.Recipient
	wire.DirectoryEntry
}

// Entries returns the directory's entries in order, from a code on, at most limit.
func (s *State) Entries(from wire.Recipient, limit int) (list []DirectoryItem, err error) {
	f := s.founded.Load()
	if f == nil {
		return nil, wire.Errorf(wire.NotReady, "the federation is not founded yet")
	}
	err = s.db.Iterate(appendDirectoryKey(nil, from), []byte("d0"), false,
		func(k, v []byte) (bool, error) {
			if len(list) >= limit {
				return false, nil
			}
			row, err := decodeDirectoryRow(v)
			if err != nil || len(k) != 2+len(from) {
				return false, fmt.Errorf("federation: damaged directory: %w", err)
			}
			list = append(list, DirectoryItem{wire.Recipient(k[2:]), row.entry(f)})
			return true, nil
		})
	return list, err
}

// reports is the row as the entry being applied sees it.
func (t *tx) reports() (row reportsRow) {
	t.load(reportsKey, &row)
	return row.of(t.incarnation)
}

// checkReported refuses operations on the directory while it is being reconciled, and those of a
// region that was restored since: what an earlier incarnation says has no effect any more.
func (t *tx) checkReported(ops *wire.DirectoryOps) *wire.Error {
	if awaited := t.awaited(); awaited != "" {
		return wire.Errorf(wire.NotReady, "the restored directory waits for the report of "+
			"region %s", awaited)
	}
	if t.founded.m.ActiveVersion < wire.VersionIncarnations {
		return nil // no region was fenced yet, and programs of before do not read the field
	}
	for i := range ops.List {
		r, _ := t.founded.m.RegionByID(ops.List[i].Region)
		if r.Incarnation != ops.Incarnation {
			return wire.Errorf(wire.Conflict, "region %s is of incarnation %d, not %d", r.ID,
				r.Incarnation, ops.Incarnation)
		}
	}
	return nil
}

// awaited is a region whose report a restored federation waits for; empty: there is none.
func (t *tx) awaited() wire.RegionID {
	if t.incarnation == 0 || t.founded == nil {
		return ""
	}
	row := t.reports()
	if awaited := row.awaited(t.founded.m); len(awaited) > 0 {
		return awaited[0]
	}
	return ""
}

// checkRedeal refuses changes that build on who holds a slot, or owns a code, while a region may
// know better: a slot that was dealt twice would have two holders, and a region be taken for empty
// that is not.
func checkRedeal(awaited wire.RegionID) *wire.Error {
	if awaited == "" {
		return nil
	}
	return wire.Errorf(wire.Conflict, "the federation is restored, and waits for the report of "+
		"region %s: see `staffetta admin restore status`", awaited)
}

// fenceRegion makes an incarnation the region's.
func (t *tx) fenceRegion(f *wire.FenceRegion) (codec.Message, *wire.Error) {
	return nil, t.changeMap(func(m *wire.Map) *wire.Error { return fence(m, f) })
}

func fence(m *wire.Map, f *wire.FenceRegion) *wire.Error {
	i := slices.IndexFunc(m.Regions, func(r wire.Region) bool { return r.ID == f.Region })
	if i < 0 {
		return wire.Errorf(wire.NotFound, "no region %q on the map", f.Region)
	}
	r := &m.Regions[i]
	if f.Incarnation != r.Incarnation && f.Incarnation != r.Incarnation+1 {
		return wire.Errorf(wire.Conflict, "region %s is of incarnation %d: the next one is %d",
			r.ID, r.Incarnation, r.Incarnation+1)
	}
	r.Incarnation = f.Incarnation
	return nil
}

// PlanFence says whether a region would be fenced.
func (s *State) PlanFence(f *wire.FenceRegion) error {
	m, ok := s.Map()
	if !ok {
		return wire.Errorf(wire.NotReady, "the federation is not founded yet")
	}
	if f.Incarnation == 0 {
		return wire.Errorf(wire.Malformed, "incarnation 0 is what a region is founded as: no fence "+
			"leads to it")
	}
	c := *m
	c.Regions = slices.Clone(m.Regions)
	if err := fence(&c, f); err != nil {
		return err
	}
	return nil
}

// waiveReport lets the federation go on without a region's report.
func (t *tx) waiveReport(f *wire.WaiveReport) (codec.Message, *wire.Error) {
	if t.founded == nil || t.incarnation == 0 {
		return nil, wire.Errorf(wire.Conflict, "the federation was not restored: it awaits nothing")
	}
	if _, ok := t.founded.tags[f.Region]; !ok {
		return nil, wire.Errorf(wire.NotFound, "no region %q on the map", f.Region)
	}
	t.noteReport(f.Region, func(row *reportsRow) *[]wire.RegionID { return &row.Waived })
	return nil, nil
}

// noteReport puts a region into a list of the row.
func (t *tx) noteReport(region wire.RegionID, list func(*reportsRow) *[]wire.RegionID) {
	row := t.reports()
	to := list(&row)
	if slices.Contains(*to, region) {
		return
	}
	*to = append(*to, region)
	t.set(reportsKey, wire.Encode(&row))
}

// report takes a page of what a region's log says of codes and slots.
func (t *tx) report(r *wire.OwnershipReport) (codec.Message, *wire.Error) {
	if err := t.checkReport(r); err != nil {
		return nil, err
	}
	err := t.changeMap(func(m *wire.Map) *wire.Error {
		i := slices.IndexFunc(m.Regions, func(o wire.Region) bool { return o.ID == r.Region })
		m.Regions[i].Incarnation = max(m.Regions[i].Incarnation, r.RegionIncarnation)
		for at, s := range r.Slots {
			learnSlot(m, s, m.Regions[i].Tag, r.Epochs[at])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range r.List {
		t.learn(r.Region, &r.List[i])
	}
	if r.Done {
		t.noteReport(r.Region, func(row *reportsRow) *[]wire.RegionID { return &row.Reported })
	}
	return nil, nil
}

func (t *tx) checkReport(r *wire.OwnershipReport) *wire.Error {
	switch {
	case t.founded == nil:
		return wire.Errorf(wire.NotReady, "the federation is not founded yet")
	case t.incarnation == 0 || r.Incarnation != t.incarnation:
		return wire.Errorf(wire.Conflict, "a report for incarnation %d, this is %d",
			r.Incarnation, t.incarnation)
	case len(r.List) > wire.ReconcileMax || len(r.Slots) > wire.Slots:
		return wire.Errorf(wire.TooLarge, "report of %d codes and %d slots", len(r.List),
			len(r.Slots))
	case len(r.Slots) != len(r.Epochs):
		return wire.Malformedf("%d slots with %d epochs", len(r.Slots), len(r.Epochs))
	}
	region, ok := t.founded.m.RegionByID(r.Region)
	if !ok {
		return wire.Errorf(wire.NotFound, "no region %q on the map", r.Region)
	}
	if r.RegionIncarnation < region.Incarnation {
		return wire.Errorf(wire.Conflict, "region %s is of incarnation %d, not %d", r.Region,
			region.Incarnation, r.RegionIncarnation)
	}
	for _, s := range r.Slots {
		if s >= wire.Slots {
			return wire.Malformedf("no anchor slot %d, there are %d", s, wire.Slots)
		}
	}
	for i := range r.List {
		if k := &r.List[i]; k.Recipient.IsZero() || k.Epoch == 0 {
			return wire.Malformedf("code %d of a report has no recipient or epoch", i)
		} else if _, ok := t.founded.tags[k.Region]; !ok {
			return wire.Errorf(wire.NotFound, "no region %q on the map", k.Region)
		}
	}
	return nil
}

// learnSlot makes a region the holder of a slot if it holds it since a later epoch than the map's.
func learnSlot(m *wire.Map, s wire.Slot, tag wire.RegionTag, epoch uint64) {
	if epoch <= m.SlotEpoch(s) {
		return
	}
	if len(m.SlotEpochs) == 0 {
		m.SlotEpochs = make([]uint64, wire.Slots)
		for i := range m.SlotEpochs {
			m.SlotEpochs[i] = wire.SlotEpochFounding
		}
	}
	m.SlotOwners[s], m.SlotEpochs[s] = tag, epoch
	m.DropSlotDeal(s)
}

// learn takes what a region says of one code, unless the directory knows better. At equal epochs an
// owner's own word wins over a claim that the directory has not seen finished.
func (t *tx) learn(by wire.RegionID, k *wire.Standing) {
	key := appendDirectoryKey(nil, k.Recipient)
	var row directoryRow
	if b, ok := t.get(key); ok {
		var err error
		row, err = decodeDirectoryRow(b)
		t.fail(err)
	}
	told := directoryRow{region: t.founded.tags[k.Region], epoch: k.Epoch, state: wire.Claimed,
		active: k.Region == by && k.Active}
	better := row.state == wire.Unclaimed || row.epoch < told.epoch ||
		row.epoch == told.epoch && row.state == wire.ClaimPending ||
		row.epoch == told.epoch && row.region == told.region && k.Region == by &&
			row.state == wire.Claimed
	if !better || row == told {
		return
	}
	t.set(key, told.encode(nil))
	t.tellDirectory(k.Recipient, told)
}
