package region

import (
	"encoding/binary"
	"go/ast"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/internal/corpus"
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// dated says of a stored time what becomes of it when the state goes back to an earlier one.
type dated struct {
	atMost time.Duration // it is dated anew where it is later than the state's time by more
	stays  string        // why it may stay as it is
}

// times are the stored times: fields of rows, and the time in the keys of what is due.
var times = map[string]dated{
	"D.At": {stays: "nobody decides anything by it"},
	"dj":   {}, "dm": {}, "ds": {atMost: SessionMax}, "dy": {},
	"dx.At":                {},
	"e.Time":               {stays: "no line is written anew, and none of later is repeated"},
	"f.Since":              {stays: "at worst a message is shown once more"},
	"j.At":                 {},
	"l.Since":              {stays: "shown, and nothing follows"},
	"mo.Since":             {},
	"mr.Since":             {},
	"mt.Session.CreatedAt": {stays: "as s.RenewedAt"},
	"mt.Session.ExpiresAt": {atMost: SessionMax},
	"mt.Session.EndsAt":    {atMost: SessionMax},
	"mt.Session.RenewedAt": {stays: "as s.RenewedAt"},
	"n.Now":                {},
	"n.Expiry":             {},
	"n.NewestID":           {atMost: wire.SkewMax},
	"n.Confirmed":          {},
	"n.Ahead":              {},
	"r.Profile.UpdatedAt":  {stays: "nobody reads it, and the next change of the profile sets it"},
	"s.CreatedAt":          {stays: "as s.RenewedAt"},
	"s.ExpiresAt":          {atMost: SessionMax},
	"s.EndsAt":             {atMost: SessionMax},
	"s.RenewedAt":          {stays: "which session was used longest ago is asked as of now"},
	"xb.At":                {stays: "a block made of this one is not dated later than it is made"},
	"xk.At":                {},
	"xq.At":                {},
	"y.SpooledAt":          {stays: "told to operators only"},
	"y.RelayedAt":          {stays: "told to operators; when the stub goes, dy says"},
}

// timesIn calls f for every time in v.
func timesIn(v reflect.Value, path string, f func(path string, at wire.Time)) {
	switch {
	case v.Type() == reflect.TypeFor[wire.Time]():
		f(path, wire.Time(v.Int()))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			timesIn(v.Field(i), path+"."+v.Type().Field(i).Name, f)
		}
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v = reflect.New(v.Type().Elem())
		}
		timesIn(v.Elem(), path, f)
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Array:
		for i := range v.Len() {
			timesIn(v.Index(i), path, f)
		}
		if v.Len() == 0 {
			timesIn(reflect.New(v.Type().Elem()).Elem(), path, f)
		}
	}
}

// timesOf calls f for every time of a row.
func timesOf(t *testing.T, key, value string, f func(path string, at wire.Time)) {
	t.Helper()
	kind := string(kindOf([]byte(key)).begins())
	if row := decodeStored(t, key, value); row != nil {
		timesIn(reflect.ValueOf(row), kind, f)
	}
	if _, ok := times[kind]; ok {
		f(kind, wire.Time(binary.BigEndian.Uint64([]byte(key[2:]))))
	}
}

// decodeStored is a row; nil for bytes.
func decodeStored(t *testing.T, key, value string) codec.Message {
	t.Helper()
	kind := kindOf([]byte(key))
	if kind == nil {
		t.Fatalf("a row %.2q is of no kind", key)
	}
	if kind.value == nil || key == string(readsKey()) {
		return nil
	}
	row := reflect.New(reflect.TypeOf(kind.value).Elem()).Interface().(codec.Message)
	if err := wire.Decode([]byte(value), row); err != nil {
		t.Fatalf("a row of kind %q is no %T: %v", kind.begins(), row, err)
	}
	return row
}

// TestEveryStoredTime holds the table above against the package: every row that is declared, every
// time in a row.
func TestEveryStoredTime(t *testing.T) {
	rows := declaredRows(t)
	seen := map[string]bool{}
	for _, k := range rowKinds {
		if k.value == nil {
			continue
		}
		row := reflect.ValueOf(k.value)
		types(row.Type(), func(of reflect.Type) { delete(rows, of.Name()) })
		timesIn(row, string(k.begins()), func(path string, _ wire.Time) {
			seen[path] = true
			if _, ok := times[path]; !ok {
				t.Errorf("%s is a time: what becomes of it when the state goes back?", path)
			}
		})
	}
	for name := range rows {
		t.Errorf("%s is encoded: what rows is it of?", name)
	}
	for path := range times {
		if strings.Contains(path, ".") && !seen[path] {
			t.Errorf("no row has a time %s", path)
		}
	}
}

// types calls f for a type and all that it is made of.
func types(of reflect.Type, f func(reflect.Type)) {
	f(of)
	switch of.Kind() {
	case reflect.Struct:
		for i := range of.NumField() {
			types(of.Field(i).Type, f)
		}
	case reflect.Pointer, reflect.Slice, reflect.Array:
		types(of.Elem(), f)
	}
}

// declaredRows are the types that have an encoding.
func declaredRows(t *testing.T) map[string]bool {
	t.Helper()
	rows := map[string]bool{}
	inspectSource(t, func(n ast.Node) {
		if f, ok := n.(*ast.FuncDecl); ok && f.Name.Name == "Fields" {
			if star, ok := receiver(f).(*ast.StarExpr); ok {
				rows[star.X.(*ast.Ident).Name] = true
			}
		}
	})
	if len(rows) < 15 {
		t.Fatalf("found %d kinds of rows", len(rows))
	}
	return rows
}

func receiver(f *ast.FuncDecl) ast.Expr {
	if f.Recv == nil {
		return nil
	}
	return f.Recv.List[0].Type
}

// TestStoredRowsAreWhatTheTableSays: the rows that the golden logs make are of the table's types.
func TestStoredRowsAreWhatTheTableSays(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpusDir, "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		steps, err := corpus.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		f := corpusFixture(t, strings.TrimSuffix(filepath.Base(file), ".log"))
		for i, s := range steps {
			if f.apply(s.Entry); i%5 != 0 && i < len(steps)-1 {
				continue
			}
			for k, v := range f.rows() {
				row := decodeStored(t, k, v)
				kind := string(kindOf([]byte(k)).begins())
				if seen[kind] = true; row != nil && string(wire.Encode(row)) != v {
					t.Errorf("%s: a row of kind %q is no %T", file, kind, row)
				}
			}
		}
	}
	for _, k := range rowKinds {
		if !seen[string(k.begins())] {
			t.Errorf("no golden log makes a row of kind %q", k.begins())
		}
	}
}

// TestNothingStaysAhead: of every stored time one is made while the state is 60 days ahead; none
// is left in the future once it went back, but for those that may stay.
func TestNothingStaysAhead(t *testing.T) {
	f := newFixture(t, "lazio")
	p := f.everythingAhead()
	left := func() map[string]int {
		future := map[string]int{}
		for k, v := range f.rows() {
			timesOf(t, k, v, func(path string, at wire.Time) {
				if at > f.now.Add(times[path].atMost) {
					future[path]++
				}
			})
		}
		return future
	}
	before := left()
	for path := range times {
		if before[path] == 0 && path != "n.Confirmed" && path != "n.Ahead" &&
			path != "f.Since" && path != "D.At" { // of the version that is raised below
			t.Errorf("no %s is in the future", path)
		}
	}
	f.raise()
	if n := f.confirm(); n < 2 {
		t.Errorf("all was dated anew by %d entries", n)
	}
	for path, n := range left() {
		if times[path].stays == "" {
			t.Errorf("%d of %d %s are still in the future", n, before[path], path)
		}
	}
	f.nothingFollows(p)
}

// aheadSpool is what waits in the spool while the state is ahead.
type aheadSpool struct {
	owner *away
	two   []wire.Record // of one block
}

// everythingAhead lets the state go 60 days ahead while everything that has a date is made.
func (f *fixture) everythingAhead() (p aheadSpool) {
	f.t.Helper()
	f.wentAhead(1500)
	right := f.now
	f.now = right.Add(60 * day)
	goes, stays := settle(f, "who goes while it is ahead", 1), codeOf("who wants to go")
	f.longLogin(goes.code)
	f.must(wire.CmdMoveDone, leaving(f.fence(goes.code, "sicilia")))
	f.activate(stays)
	f.lock(f.activate(codeOf("who locks while it is ahead")))
	f.longLogin(stays)
	f.intend(stays, "sicilia")
	p.owner = newAway(f.t, "puglia")
	p.two = []wire.Record{f.message(codeOf("ugo"), someService, "uno"),
		f.message(codeOf("ada"), someService, "due")}
	f.spool(p.owner, p.two...)
	f.noteRead()
	f.now = right
	return p
}

// longLogin opens a session that lasts as long as any may.
func (f *fixture) longLogin(code fiscalcode.Code) {
	f.t.Helper()
	l := f.loginAs(code, tokenOf("long "+string(code)))
	l.Session.ExpiresAt = f.now.Add(SessionMax)
	f.must(wire.CmdLogin, &l)
	o := f.openAs(code, "long, of a set, "+string(code))
	o.Session.ExpiresAt, o.Session.EndsAt = f.now.Add(SessionMax), f.now.Add(SessionMax)
	f.must(wire.CmdOpenSession, &o)
}

func (f *fixture) noteRead() {
	f.t.Helper()
	f.must(wire.CmdNoteRead, &wire.ReadNote{Operator: "ada", Action: "explain", Subject: "one"})
}

// nothingFollows checks what times decide that may stay in the future, and the age of the spool.
func (f *fixture) nothingFollows(p aheadSpool) {
	f.t.Helper()
	f.noteRead()
	if page, err := f.Reads(&wire.ListAudit{}); err != nil || len(page.Lines) != 2 {
		f.t.Errorf("%d lines of two reads, %v", len(page.Lines), err)
	}
	molise := newAway(f.t, "molise")
	f.must(wire.CmdSpoolDone, &wire.SpoolDone{Owner: p.owner.id, Seq: f.waiting(p.owner)[0].Seq,
		Outcomes: []wire.Outcome{{Kind: wire.Decided, ID: p.two[0].ID, Verdict: processed},
			{Kind: wire.NotOwner, Region: molise.id, Epoch: 2}},
		Resealed: []wire.Resealed{{Sealed: f.sealed(molise, p.two[1]).Sealed,
			Positions: []uint8{1}}}})
	f.now = f.now.Add(73 * time.Hour)
	f.confirm()
	refused := f.spoolWithin(plenty, f.now.Add(-72*time.Hour), molise,
		f.message(codeOf("ada"), someService, "tre")).Refused
	if refused != wire.SpoolTooOld {
		f.t.Errorf("the oldest block has waited for 73 hours, and the spool says %d", refused)
	}
}
