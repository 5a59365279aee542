package operator

import (
	"testing"

	"github.com/staffetta/staffetta/internal/founding"
	"github.com/staffetta/staffetta/wire"
)

func threeRegions(t *testing.T) *wire.Map {
	t.Helper()
	f := founding.File{Federation: "italia"}
	for i, r := range []wire.RegionID{"lazio", "sicilia", "umbria"} {
		f.Regions = append(f.Regions, founding.Region{ID: r, Tag: wire.RegionTag(i + 1)})
		f.Nodes = append(f.Nodes, founding.Node{ID: wire.NodeID(r + "-1"), Region: r,
			Addr: string(r) + ":7400", Voter: true})
	}
	m, err := f.Map()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func counts(m *wire.Map) map[wire.RegionID]int {
	n := map[wire.RegionID]int{}
	for s := range wire.Slot(wire.Slots) {
		n[m.Anchor(s)]++
	}
	return n
}

// TestPlanSlots carries plans out on a map and counts who has what, and how many slots moved.
func TestPlanSlots(t *testing.T) {
	for _, c := range []struct {
		name  string
		over  []wire.RegionID
		first wire.RegionID // everything belongs to it before; "": as founded
		moved int
		want  map[wire.RegionID]int
	}{
		{"even already", []wire.RegionID{"lazio", "sicilia", "umbria"}, "", 0,
			map[wire.RegionID]int{"lazio": 342, "sicilia": 341, "umbria": 341}},
		{"two of three", []wire.RegionID{"lazio", "sicilia"}, "", 341,
			map[wire.RegionID]int{"lazio": 512, "sicilia": 512}},
		{"from one to all", []wire.RegionID{"lazio", "sicilia", "umbria"}, "umbria", 682,
			map[wire.RegionID]int{"lazio": 341, "sicilia": 341, "umbria": 342}},
	} {
		m := threeRegions(t)
		for s := range m.SlotOwners {
			if c.first != "" {
				r, _ := m.RegionByID(c.first)
				m.SlotOwners[s] = r.Tag
			}
		}
		plan, err := PlanSlots(m, c.over, "")
		if err != nil {
			t.Fatal(err)
		}
		moved := 0
		for _, d := range plan {
			r, _ := m.RegionByID(d.To)
			for _, s := range d.Slots {
				m.SlotOwners[s] = r.Tag
				moved++
			}
		}
		got := counts(m)
		for r, n := range c.want {
			if got[r] != n || len(got) != len(c.want) {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
				break
			}
		}
		if moved != c.moved {
			t.Errorf("%s: %d slots moved, want %d", c.name, moved, c.moved)
		}
	}
	// Slots on their way stay out of it, unless it is to a region that is lost.
	m := threeRegions(t)
	m.PutSlotDeal(wire.SlotDeal{Slot: wire.Slots - 1, From: 1})
	for lost, want := range map[wire.RegionID]int{"": 340, "umbria": 341} {
		plan, err := PlanSlots(m, []wire.RegionID{"lazio", "sicilia"}, lost)
		moved := 0
		for _, d := range plan {
			moved += len(d.Slots)
		}
		if err != nil || moved != want {
			t.Errorf("lost %q: %d slots moved, %v, want %d", lost, moved, err, want)
		}
	}
	if _, err := PlanSlots(threeRegions(t), []wire.RegionID{"puglia"}, ""); err == nil {
		t.Error("slots are dealt to a region that is not on the map")
	}
}
