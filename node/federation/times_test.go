package federation

import (
	"errors"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/staffetta/staffetta/internal/codec"
	"github.com/staffetta/staffetta/wire"
)

// stored are the kinds of rows, by what makes their keys: an empty row of each, or nil where a
// value is bytes.
var stored = map[string]codec.Message{
	"timeKey": nil, "confirmedKey": nil, // see confirmTime
	"mapKey": &wire.Map{}, "institutionKey": &wire.Institution{}, "serviceKey": &wire.Service{},
	"remoteKey": &wire.RemoteContent{},
	"keyKey":    nil, "appendDirectoryKey": nil, "auditBoundsKey": nil, "auditKey": &wire.AuditLine{},
	"goneNodeKey": nil, "goneRegionKey": nil, "goneTagKey": nil, "reportsKey": &reportsRow{},
	"tokenKey": &wire.JoinToken{}, "pendingKey": &wire.PendingRequest{},
}

// dated says of a stored time what becomes of it when the state goes back to an earlier one.
type dated struct {
	atMost time.Duration // it is dated anew where it is later than the state's time by more
	stays  string        // why it may stay as it is
}

var times = map[string]dated{
	"mapKey.SlotDeals.At":         {},
	"mapKey.Trust.Revoked.Before": {atMost: wire.SkewMax},
	"auditKey.Time":               {stays: "no line is written anew, and nothing is decided by it"},
	"tokenKey.Expires":            {atMost: wire.TokenAgeMax},
	"pendingKey.Asked":            {},
	"pendingKey.Expires":          {atMost: wire.ApprovalWait},
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

// TestEveryStoredTime holds the tables above against the package: whatever makes a key, and every
// time in a row.
func TestEveryStoredTime(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	makers := 0
	check := func(name string) {
		if makers++; strings.HasSuffix(name, "Key") {
			if _, ok := stored[name]; !ok {
				t.Errorf("%s: its rows are not in the table", name)
			}
		}
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Type.Results != nil {
					if _, bytes := d.Type.Results.List[0].Type.(*ast.ArrayType); bytes {
						check(d.Name.Name)
					}
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok && d.Tok == gotoken.VAR {
						check(v.Names[0].Name)
					}
				}
			}
		}
	}
	if makers < len(stored) {
		t.Fatalf("found %d names", makers)
	}
	seen := map[string]bool{}
	for name, row := range stored {
		if row == nil {
			continue
		}
		timesIn(reflect.ValueOf(row), name, func(path string, _ wire.Time) {
			seen[path] = true
			if _, ok := times[path]; !ok {
				t.Errorf("%s is a time: what becomes of it when the state goes back?", path)
			}
		})
	}
	for path := range times {
		if !seen[path] {
			t.Errorf("no row has a time %s", path)
		}
	}
}

// TestNothingStaysAhead: of every stored time one is made while the state is 60 days ahead; none
// is left in the future once it went back, but for those that may stay.
func TestNothingStaysAhead(t *testing.T) {
	c := newClocked(t)
	c.must(wire.CmdFinalise, &wire.RaiseVersion{Version: 3})
	right := c.now
	c.now = right.Add(60 * day)
	c.must(wire.CmdDealSlots, &wire.DealSlots{Slots: []wire.Slot{0}, To: "sicilia", Force: true})
	c.must(wire.CmdRevoke, &wire.Revocation{Identity: "spiffe://italia/operator/x", Before: c.now})
	if r := c.token("lazio-200"); r.Err != nil {
		t.Fatal(r.Err)
	}
	c.ask()
	c.now = right
	left := func() map[string]int {
		future := map[string]int{}
		c.datedRows(func(maker string, row any) {
			timesIn(reflect.ValueOf(row), maker, func(path string, at wire.Time) {
				if at > c.now.Add(times[path].atMost) {
					future[path]++
				}
			})
		})
		return future
	}
	before := left()
	for path := range times {
		if before[path] == 0 {
			t.Errorf("no %s is in the future", path)
		}
	}
	c.confirm()
	for path, n := range left() {
		if times[path].stays == "" {
			t.Errorf("%d of %d %s are still in the future", n, before[path], path)
		}
	}
}

// ask makes a request that waits for a second operator.
func (c *clocked) ask() {
	c.t.Helper()
	c.must(wire.CmdAudit, &wire.Audited{Operator: "ada", Action: "approvals set",
		Command: command(wire.CmdSetApprovals, &wire.Approvals{Operators: 2})})
	c.must(wire.CmdAudit, &wire.Audited{Operator: "ada", Action: "ca add",
		Command: command(wire.CmdAsk, &wire.PendingRequest{Operator: "ada", Action: "ca add",
			Method: wire.MethodAddAuthority, Kind: wire.CmdAddAuthority, Subject: "one",
			Request: wire.Encode(&wire.Authority{DER: []byte("one")})})})
}

// datedRows are the rows that hold times, with what makes their keys.
func (c *clocked) datedRows(f func(maker string, row any)) {
	c.t.Helper()
	m, _ := c.Map()
	f("mapKey", m)
	tokens, err := c.Tokens()
	for i := range tokens {
		f("tokenKey", &tokens[i])
	}
	requests, failed := c.ListPending(0)
	for i := range requests {
		f("pendingKey", &requests[i])
	}
	page, wrong := c.Audit(&wire.ListAudit{})
	if err := errors.Join(err, failed, wrong); err != nil {
		c.t.Fatal(err)
	}
	for i := range page.Lines {
		f("auditKey", &page.Lines[i])
	}
}
