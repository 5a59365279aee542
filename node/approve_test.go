package node

import (
	"slices"
	"testing"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
)

// alone is what one operator may change, even where two are needed for what hurts a region: what is
// undone by the same command, refuses by itself to take a majority or a citizen's data, is looked
// up by the region's leader (TestDiscardSpooled), or has to be done at once.
var alone = []wire.Method{
	wire.MethodPutInstitution, wire.MethodPutService, wire.MethodSetKey, wire.MethodFinalise,
	wire.MethodMove, wire.MethodAbortMove, wire.MethodOrderMove, wire.MethodChangeMembers,
	wire.MethodPutToken, wire.MethodSign, wire.MethodHandOver, wire.MethodReleaseBallast,
	wire.MethodRotateRegionKey, wire.MethodPublishRegionKey, wire.MethodDiscardSpooled,
	wire.MethodListRenewals, wire.MethodSettleRenewal,
}

// TestHurting: of every call of operators that changes something it is decided whether it takes
// two, and those that do are registered to be answered later.
func TestHurting(t *testing.T) {
	n := made(t)
	for m, d := range demands {
		_, two := hurting[m]
		changes := d.right == link.RightOperator || d.right == link.RightMember
		if one := slices.Contains(alone, m); changes && one == two || !changes && (one || two) {
			t.Errorf("method %d: for one operator %t, for two %t", m, one, two)
		}
		if (n.changes[m] != nil) != two {
			t.Errorf("method %d: registered to wait %t, takes two %t", m, n.changes[m] != nil, two)
		}
	}
	if len(hurting) != len(n.changes) {
		t.Errorf("%d calls take two, %d are registered", len(hurting), len(n.changes))
	}
}
