package wire

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
)

// Anchor slots change hands in four steps, each logged before the next and each safe to repeat:
//
//	federation's log   DealSlots: the map names the new holder, and the old one in a SlotDeal
//	old holder's log   FenceSlot: from here on it decides nothing for unclaimed codes of the slot
//	new holder's log   ImportSlot, page by page: what the old one knew; the last one grants the slot
//	federation's log   SettleSlots: the SlotDeal is done with
//
// A forced deal does without the old holder, which is lost: the new one waits SlotForceWait, by
// when the old one has stopped by itself, and learns from the directory which codes are claimed.

const (
	// SlotForceWait is how long the new holder of a forced slot waits: twice the time after which
	// an anchor without contact to the federation stops deciding.
	SlotForceWait = 2 * time.Minute
	// SlotEpochFounding is the epoch of the slots that the founding map deals.
	SlotEpochFounding = 1
	// SlotRowsMax bounds a page of a slot: some 200 KB.
	SlotRowsMax = 2048
)

// SlotDeal is a slot on its way to the holder that the map names.
type SlotDeal struct {
	Slot   Slot
	From   RegionTag
	At     Time // by the federation's log
	Forced bool
	// Granted, of a forced deal: the new holder decides, without what the old one knew.
	Granted bool
	// Stray, of a forced deal: the one before had not arrived at From, so that somebody else may
	// decide for as long as an anchor without contact does.
	Stray bool
}

// Fields declares the message.
func (d *SlotDeal) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &d.Slot)
	codec.Uint(c, 2, &d.From)
	codec.Int(c, 3, &d.At)
	codec.Bool(c, 4, &d.Forced)
	codec.Bool(c, 5, &d.Granted)
	codec.Bool(c, 6, &d.Stray)
}

// SlotEpoch counts the holders of a slot, from SlotEpochFounding.
func (m *Map) SlotEpoch(s Slot) uint64 {
	if int(s) >= len(m.SlotEpochs) {
		return SlotEpochFounding
	}
	return m.SlotEpochs[s]
}

// SlotDeal returns the deal of a slot that is on its way.
func (m *Map) SlotDeal(s Slot) (SlotDeal, bool) {
	i, found := m.findDeal(s)
	if !found {
		return SlotDeal{}, false
	}
	return m.SlotDeals[i], true
}

func (m *Map) findDeal(s Slot) (int, bool) {
	return slices.BinarySearchFunc(m.SlotDeals, s,
		func(d SlotDeal, s Slot) int { return int(d.Slot) - int(s) })
}

// PutSlotDeal adds a deal, or replaces that of the same slot.
func (m *Map) PutSlotDeal(d SlotDeal) {
	i, found := m.findDeal(d.Slot)
	if found {
		m.SlotDeals[i] = d
		return
	}
	m.SlotDeals = slices.Insert(m.SlotDeals, i, d)
}

// DropSlotDeal ends a deal.
func (m *Map) DropSlotDeal(s Slot) {
	if i, found := m.findDeal(s); found {
		m.SlotDeals = slices.Delete(m.SlotDeals, i, i+1)
	}
}

// DealSlots makes a region the holder of slots. Those that it has, or that are on their way to it,
// change nothing, but that Force makes a deal under way a forced one. Conflict when a slot is on
// its way to another region, unless Force takes it from there.
type DealSlots struct {
	Slots []Slot
	To    RegionID
	Force bool
	// Healthy has slots taken by force from a region that answers, which is refused otherwise. It
	// is said to the leader and never logged.
	Healthy bool
}

// Fields declares the message.
func (d *DealSlots) Fields(c *codec.Codec) {
	codec.Uints(c, 1, &d.Slots)
	codec.String(c, 2, &d.To)
	codec.Bool(c, 3, &d.Force)
	codec.Bool(c, 4, &d.Healthy)
}

// AuditSubjectOn is what the audit shows: how many slots go from where to where.
func (d *DealSlots) AuditSubjectOn(m *Map) string {
	return countSlots(m, d.Slots, func(s Slot) (RegionID, bool) { return m.Anchor(s), true }) +
		" to " + string(d.To)
}

// AuditSubjectOn is what the audit shows: how much is given up of what which regions knew.
func (s *SettleSlots) AuditSubjectOn(m *Map) string {
	return countSlots(m, s.Slots, func(slot Slot) (RegionID, bool) {
		deal, moving := m.SlotDeal(slot)
		from, _ := m.RegionByTag(deal.From)
		return from.ID, moving
	}) + " at " + string(s.Region)
}

// countSlots says of how many slots there is a talk, and of which regions.
func countSlots(m *Map, slots []Slot, from func(Slot) (RegionID, bool)) string {
	count := map[RegionID]int{}
	for _, s := range slots {
		if int(s) >= Slots {
			continue
		}
		if r, ok := from(s); ok {
			count[r]++
		}
	}
	var parts []string
	for _, r := range m.Regions {
		if count[r.ID] > 0 && len(parts) < auditRegionsMax {
			parts = append(parts, fmt.Sprintf("%d of %s", count[r.ID], r.ID))
		}
	}
	return fmt.Sprintf("%d slots: %s", len(slots), strings.Join(parts, ", "))
}

// SettleSlots says that deals are done with, or, with Granted, that forced ones are but for what
// the old holder knows. A deal of another epoch is left alone.
type SettleSlots struct {
	Region  RegionID
	Slots   []Slot
	Epochs  []uint64 // one for each slot
	Granted bool
	// Healthy has an operator give up what a region knows that answers, which is refused otherwise.
	// It is said to the leader and never logged.
	Healthy bool
}

// Fields declares the message.
func (s *SettleSlots) Fields(c *codec.Codec) {
	codec.String(c, 1, &s.Region)
	codec.Uints(c, 2, &s.Slots)
	codec.Uints(c, 3, &s.Epochs)
	codec.Bool(c, 4, &s.Granted)
	codec.Bool(c, 5, &s.Healthy)
}

// AuditSubject is what the audit shows.
func (s *SettleSlots) AuditSubject() string { return string(s.Region) }

// FenceSlot ends a region's hold on a slot, for the holder of Epoch.
type FenceSlot struct {
	Slot  Slot
	Epoch uint64 // the new holder's
}

// Fields declares the message.
func (f *FenceSlot) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &f.Slot)
	codec.Uint(c, 2, &f.Epoch)
}

// HandOverSlot asks the old holder to fence a slot, and for a page of what it knows.
type HandOverSlot struct {
	Slot  Slot
	Epoch uint64
	After []byte // Last of the page before
}

// Fields declares the message.
func (h *HandOverSlot) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &h.Slot)
	codec.Uint(c, 2, &h.Epoch)
	codec.Bytes(c, 3, &h.After)
}

// SlotPage is a part of what an anchor knows about a slot: marks of the codes that are claimed,
// by whomever, and rejections and idempotency keys of those that are not. No content.
type SlotPage struct {
	Rows []Row
	More bool
	Last []byte
}

// Fields declares the message.
func (p *SlotPage) Fields(c *codec.Codec) {
	codec.Repeated(c, 1, &p.Rows)
	codec.Bool(c, 2, &p.More)
	codec.Bytes(c, 3, &p.Last)
}

// ImportSlot takes over rows of a slot; the last page, without More, makes the region its holder.
// Rows that are there already stay. A page for a slot that the region holds at Epoch only adds
// rows: what the old holder of a forced deal still knew when it came back.
type ImportSlot struct {
	Slot  Slot
	Epoch uint64
	Rows  []Row
	Marks []SlotMark // instead of Rows: what the directory says
	More  bool
}

// Fields declares the message.
func (m *ImportSlot) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &m.Slot)
	codec.Uint(c, 2, &m.Epoch)
	codec.Repeated(c, 3, &m.Rows)
	codec.Repeated(c, 4, &m.Marks)
	codec.Bool(c, 5, &m.More)
}

// SlotMark says that a code is claimed.
type SlotMark struct {
	Recipient Recipient
	Region    RegionID
	Epoch     Epoch
}

// Fields declares the message.
func (m *SlotMark) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, m.Recipient[:])
	codec.String(c, 2, &m.Region)
	codec.Uint(c, 3, &m.Epoch)
}
