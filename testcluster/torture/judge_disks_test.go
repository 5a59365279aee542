package torture

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/testcluster"
	"github.com/staffetta/staffetta/wire"
)

// TestFind: markers and codes are found wherever they stand, whole, and nothing else is.
func TestFind(t *testing.T) {
	b := newBook(new(findings))
	d := &diskJudge{codes: map[string]*citizen{}}
	for _, code := range []string{"RSSMRA71A64M955N", "BNCLCU43C07M824A"} {
		c := b.meet(code, "lazio")
		d.codes[code] = c
	}
	d.people = b.everybody()
	marker := fmt.Sprintf(markerForm, 1, 7)
	for text, want := range map[string]string{
		"":                             "",
		marker:                         "1 message " + marker,
		"x" + marker + marker[:10]:     "1 message " + marker,
		marker[:markerBytes-1]:         "",
		fmt.Sprintf(markerForm, 2, 7):  "", // nobody has this number
		"RSSMRA71A64M955N":             "0 code",
		"\x10RSSMRA71A64M955N\x00":     "0 code",
		"ABCBNCLCU43C07M824AXYZ":       "1 code",
		"RSSMRA71A64M955":              "",
		"rssmra71a64m955n":             "",
		"RSSMRA71A64M955NRSSMRA71A64M": "0 code",
	} {
		var got []string
		d.find([]byte(text), func(c *citizen, what string) {
			got = append(got, fmt.Sprint(c.index, " ", what))
		})
		if strings.Join(got, ",") != want {
			t.Errorf("%q: found %q, want %q", text, got, want)
		}
	}
}

// TestJudgeOwners: a code has one owner, who knows it by the highest epoch.
func TestJudgeOwners(t *testing.T) {
	owned := func(epoch wire.Epoch) wire.Ownership {
		return wire.Ownership{State: wire.Owned, Epoch: epoch}
	}
	released := func(epoch wire.Epoch) wire.Ownership {
		return wire.Ownership{State: wire.Released, Epoch: epoch}
	}
	for name, tt := range map[string]struct {
		lazio, sicilia wire.Ownership
		want           []string
	}{
		"one":        {owned(1), wire.Ownership{}, nil},
		"moved":      {released(2), owned(2), []string{"lives in [lazio]"}},
		"two":        {owned(1), owned(2), []string{"is owned by [lazio sicilia]"}},
		"none":       {released(1), wire.Ownership{}, []string{"owned by nobody"}},
		"old epoch":  {owned(1), released(2), []string{"knows of 2"}},
		"never seen": {wire.Ownership{}, wire.Ownership{}, []string{"owned by nobody"}},
	} {
		c, f := newSubject()
		c.version = 1
		d := &diskJudge{trial: &trial{findings: f}, hasher: wire.NewHasher(wire.DirectoryKey{1}),
			people: []*citizen{c}, owners: map[wire.Recipient]map[string]wire.Ownership{}}
		d.owners[d.hasher.Recipient(fiscalcode.Code(c.code))] = map[string]wire.Ownership{
			"lazio": tt.lazio, "sicilia": tt.sicilia}
		d.judgeOwners()
		wantFindings(t, name, f, tt.want...)
	}
}

// TestEqual: of disks at one index all have one digest.
func TestEqual(t *testing.T) {
	f := new(findings)
	d := &diskJudge{trial: &trial{findings: f, report: new(Report)},
		digests: map[string]map[uint64][32]byte{}}
	d.equal("a", "federation", testcluster.Standing{Index: 1, Sum: [32]byte{1}})
	d.equal("b", "federation", testcluster.Standing{Index: 2, Sum: [32]byte{2}})
	d.equal("c", "federation", testcluster.Standing{Index: 1, Sum: [32]byte{1}})
	wantFindings(t, "equal", f)
	d.equal("d", "federation", testcluster.Standing{Index: 2, Sum: [32]byte{1}})
	wantFindings(t, "different", f, "differ at index 2")
}

// TestSubmissionsForTheDisk: what was told becomes what package testcluster judges, in order.
func TestSubmissionsForTheDisk(t *testing.T) {
	c, _ := newSubject()
	c.begin(0, false, 10).answered(done, delivered(1), 20)
	c.begin(0, false, 30).answered(unknown, told{}, 40) // seen in the inbox, so it has an id
	c.begin(0, false, 30).answered(unknown, told{}, 40) // nobody knows its id
	c.begin(0, false, 50).answered(refused, told{}, 60)
	c.begin(0, false, 50).answered(done, told{ID: idOf(4), Status: rejected}, 60)
	c.seen[c.list[1].title], c.seen[c.list[3].title] = idOf(2), idOf(3)
	var got []string
	for _, s := range c.submissions(wire.Recipient{1}) {
		got = append(got, fmt.Sprint(s.ID.String()[24:], s.Acknowledged, s.Refused,
			s.Verdict.Status == wire.Processed, s.Ended > s.Began))
	}
	want := []string{"01true false true true", "02false false false false",
		"03false true false false", "04true false false true"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestJudgeSealed: a sealed block is found anywhere, opens with its owner's key, and is a finding
// where it opens with the key of the region on whose disk it lies.
func TestJudgeSealed(t *testing.T) {
	keys := map[string]*wire.PrivateRegionKey{}
	for i, name := range []string{"lazio", "sicilia"} {
		k, err := wire.NewRegionKey(uint32(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = k
	}
	seal := func(owner, home string) []byte {
		k := keys[owner]
		s, err := wire.Seal("local", wire.RegionID(home), wire.RegionID(owner),
			wire.RegionKey{ID: k.ID, Public: k.Public}, []byte("a block"))
		if err != nil {
			t.Fatal(err)
		}
		return slices.Concat([]byte("before"), wire.Encode(s), []byte("behind"))
	}
	judge := func(owner, home, on string, known ...string) (int, *findings) {
		f := new(findings)
		j := newSealedJudge(f, []string{"lazio", "sicilia"})
		for _, name := range known {
			k, err := keys[name].Open()
			if err != nil {
				t.Fatal(err)
			}
			j.keys[name] = []*wire.RegionPrivateKey{k}
		}
		b := seal(owner, home)
		j.find(on, b)
		j.find(on, bytes.Clone(b)) // found twice, it is one
		if len(j.found) != 1 {
			t.Errorf("%d blocks found, want 1", len(j.found))
		}
		return j.judge(), f
	}
	opened, f := judge("sicilia", "lazio", "lazio", "lazio", "sicilia")
	wantFindings(t, "as it should be", f)
	if opened != 1 {
		t.Errorf("%d blocks opened, want 1", opened)
	}
	_, f = judge("sicilia", "lazio", "lazio", "lazio")
	wantFindings(t, "without the owner's keys", f, "blind")
	keys["lazio"] = keys["sicilia"]
	_, f = judge("sicilia", "lazio", "lazio", "lazio", "sicilia")
	wantFindings(t, "the home has the owner's key", f, "opens with the keys of lazio")
}
