package region

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/staffetta/staffetta/wire"
)

// inspectSource calls f for every node of the package's source, without its tests.
func inspectSource(t *testing.T, f func(ast.Node)) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			f(n)
			return true
		})
	}
}

// families are the prefixes whose kinds differ in a second byte, by how its constants' names begin.
var families = map[string]byte{"due": duePrefix, "move": movePrefix, "spool": spoolPrefix}

// declaredKeys are what keys begin with, by the names of the constants. A byte of the digest is the
// only other constant that is a character.
func declaredKeys(t *testing.T) map[string]string {
	t.Helper()
	keys := map[string]string{}
	inspectSource(t, func(n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return
		}
		for i, name := range spec.Names {
			if i >= len(spec.Values) {
				continue
			}
			lit, ok := spec.Values[i].(*ast.BasicLit)
			if !ok || lit.Kind != token.CHAR || strings.HasPrefix(name.Name, "op") {
				continue
			}
			c, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(name.Name, "Prefix") {
				word := name.Name[:strings.IndexFunc(name.Name+"A", unicode.IsUpper)]
				first := families[word]
				if first == 0 {
					t.Errorf("%s is neither a prefix nor the second byte of a family's", name.Name)
					continue
				}
				c = string(first) + c
			}
			keys[name.Name] = c
		}
	})
	if len(keys) < 30 {
		t.Fatalf("found %d constants of keys", len(keys))
	}
	return keys
}

// TestEveryPrefixHasItsKind: what the key layout declares is in the table, once.
func TestEveryPrefixHasItsKind(t *testing.T) {
	kinds := map[string]bool{}
	for i := range rowKinds {
		begins := string(rowKinds[i].begins())
		if kindOf([]byte(begins)) != &rowKinds[i] || kinds[begins] {
			t.Errorf("two kinds of rows have keys that begin with %q", begins)
		}
		kinds[begins] = true
	}
	for name, begins := range declaredKeys(t) {
		family := false
		for _, prefix := range families {
			family = family || begins == string(prefix)
		}
		if !family && !kinds[begins] {
			t.Errorf("%s: no kind of rows has keys that begin with %q", name, begins)
		}
	}
}

// TestEveryKindIsWhole: of a citizen's row it is said what becomes of it, at every step.
func TestEveryKindIsWhole(t *testing.T) {
	one := func(function, reason bool) bool { return function != reason }
	for i := range rowKinds {
		k := &rowKinds[i]
		moves, goes := k.export != nil, k.erase != nil
		arrives := moves && !k.asRecord
		rules := map[string]bool{
			"is a citizen's or the region's": k.of == ofCitizen || k.of == ofRegion,
			"is a citizen's if it moves or goes with them": k.of == ofCitizen ||
				!moves && !goes,
			"moves, or stays for a reason":                    k.of == ofRegion || one(moves, k.stays != ""),
			"has a cursor, which begins with one byte":        !moves || k.second == 0,
			"is checked if it arrives":                        (k.check != nil) == arrives,
			"is taken if it arrives":                          (k.take != nil) == arrives,
			"is fetched after a restore, or for a reason not": one(k.fill != nil, k.lost != "") == arrives,
			"is erased, was gone before, or is kept for a reason": k.of == ofRegion ||
				one(goes || k.kept != "", k.gone != ""),
			"says since when it is in pages, if it was not from the beginning": !arrives ||
				(k.since > 0) == (strings.IndexByte(firstStages, k.prefix) < 0),
			"is erased where it was, if it moves":   !moves || k.kept == "",
			"is wide only if all of its prefix are": !k.wide || k.second == 0,
		}
		for rule, holds := range rules {
			if !holds {
				t.Errorf("a row of kind %q is not one that %s", k.begins(), rule)
			}
		}
	}
}

// firstStages are the prefixes of what moved with a citizen when moves began.
const firstStages = "ijkprs"

// TestStagesKeepTheirOrder: a cursor of a page means the same to a leader of another version. A kind
// that is new may stand anywhere.
func TestStagesKeepTheirOrder(t *testing.T) {
	for want, stages := range map[string][]*rowKind{firstStages: moveStages, "rsijkp": copyStages} {
		got := ""
		for _, k := range stages {
			if strings.IndexByte(want, k.prefix) >= 0 {
				got += string(k.prefix)
			}
		}
		if got != want {
			t.Errorf("an export goes through %q, and went through %q", got, want)
		}
	}
}

// rowStory is a citizen of whom there is a row of every kind, at some time and in some region.
type rowStory struct {
	*settler
	r    wire.Recipient
	seen map[*rowKind]bool
}

// at are the rows that name the citizen, by kind, then key. Blocks are compressed: see holds.
func (s *rowStory) at(f *fixture) map[*rowKind]map[string]string {
	f.t.Helper()
	found := map[*rowKind]map[string]string{}
	for key, value := range f.rows() {
		k := kindOf([]byte(key))
		if k == nil {
			f.t.Fatalf("a row %.2q is of no kind", key)
		}
		names := false
		for _, name := range []string{string(s.r[:]), string(s.token[:]), string(s.code)} {
			names = names || strings.Contains(key, name) || strings.Contains(value, name)
		}
		if !names || k.prefix == blockPrefix {
			continue
		}
		if found[k] == nil {
			found[k] = map[string]string{}
		}
		s.seen[k], found[k][key] = true, value
	}
	return found
}

// wantArrived checks that rows of all kinds that go along are where the citizen is, and no others.
// What leads into a block leads into another one.
func (s *rowStory) wantArrived(f *fixture, when string, before map[*rowKind]map[string]string,
	lost func(*rowKind) bool) {
	f.t.Helper()
	after := s.at(f)
	for _, k := range moveStages {
		if k.since > f.ActiveVersion() {
			continue
		}
		got, want := after[k], before[k]
		if len(want) == 0 {
			f.t.Errorf("%s: there was no row of kind %q: the test is wrong", when, k.begins())
		}
		if lost(k) {
			want = nil
		}
		if k.asRecord {
			want = map[string]string{}
			for key := range before[k] {
				want[key] = got[key]
			}
		}
		if diff := diffRows(got, want); diff != "" {
			f.t.Errorf("%s: %d rows of kind %q, want %d: %s", when, len(got), k.begins(),
				len(want), diff)
		}
	}
}

// TestEveryKindOfRow moves a citizen of whom there is a row of every kind, fetches them after a
// restore, and erases them. All is there then where the citizen is, and nothing where they were but
// for what the table says stays.
func TestEveryKindOfRow(t *testing.T) {
	for _, raised := range []bool{false, true} {
		t.Run("raised "+strconv.FormatBool(raised), func(t *testing.T) { everyKind(t, raised) })
	}
}

func everyKind(t *testing.T, raised bool) {
	regions := newRegions(t, "sicilia", "lazio")
	sicilia, lazio := regions[0], regions[1]
	cfg := testConfig(vfs.NewMem(), "lazio", sicilia.coder)
	cfg.Store.Identity.Incarnation = 1
	restored := openFixture(t, cfg)
	if raised {
		sicilia.raise()
		lazio.raise()
		restored.raise()
	}
	early := sicilia.keyed(sicilia.message(codeOf("anna"), someService, "presto"), "early")
	sicilia.spool(newAway(t, "puglia"), early)
	s := &rowStory{settler: settle(sicilia, "anna", 70), seen: map[*rowKind]bool{}} // two pages
	s.r = sicilia.hasher.Recipient(s.code)
	if raised {
		s.at(sicilia)
		sicilia.lock(s.token)
		sicilia.openHigh(s.code, "under the lock")
	}
	before := s.at(sicilia)

	m := sicilia.intend(s.code, "lazio")
	s.at(sicilia)
	sicilia.must(wire.CmdMoveFence, leaving(m))
	for p := (wire.MoveProgress{}); !p.Owned; s.at(lazio) {
		p = lazio.take(sicilia.page(m, p.Next))
	}
	sicilia.must(wire.CmdMoveDone, leaving(m))
	s.at(sicilia)
	s.wantArrived(lazio, "after the move", before, func(*rowKind) bool { return false })

	restored.reconcile(true, wire.Standing{Recipient: s.r, Region: "lazio", Epoch: m.Epoch})
	copyAll(sicilia, restored, m)
	s.wantArrived(restored, "after the restore", before,
		func(k *rowKind) bool { return k.lost != "" })

	sicilia.now = sicilia.now.Add(keepMovedDefault)
	sicilia.eraseRemains()
	for k, rows := range s.at(sicilia) {
		if k.kept == "" {
			t.Errorf("%d rows of kind %q are left at the old owner", len(rows), k.begins())
		}
	}
	if n := sicilia.holds(string(s.code)); n != 0 {
		t.Errorf("the fiscal code stands in %d rows and records at the old owner", n)
	}
	for i := range rowKinds {
		if k := &rowKinds[i]; k.of == ofCitizen && k.since <= lazio.ActiveVersion() && !s.seen[k] {
			t.Errorf("no row of kind %q was anywhere: the test is wrong", k.begins())
		}
	}
}
