package institution

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// contractValue is a line of testdata/contract.jsonl: what stands at a path of a full message, or
// another value there and whether the contract's own decoder takes the message with it. The
// verdicts were recorded from the codecs that IO's generator (@pagopa/openapi-codegen-ts 14.2.0)
// makes of IO's public definitions; the values are ours.
type contractValue struct {
	Base, Path, Value string
	Contract          bool
}

// knownDifferences are all values that the contract and we judge differently. docs/institutions.md
// tells them.
var knownDifferences = map[string][]string{
	// Instants that do not exist: the contract rolls over to the next month, and the citizen sees
	// another day than the institution wrote.
	"a day that no month has": {`"2026-02-29T00:00:00Z"`, `"2026-02-30T00:00:00Z"`,
		`"2026-02-31T00:00:00Z"`, `"2026-04-31T00:00:00Z"`},
	// Years that cannot be written with four digits once the offset is applied.
	"a year out of bounds": {`"0000-01-01T00:00:00+00:01"`, `"9999-12-31T23:59:59-00:01"`},
	// No effect in either: we take any text.
	"an e-mail without effect": {`"x"`, `""`, `" "`, `"foo@bar"`, `"a@b..it"`, `"nobody"`,
		`"a@b@c.it"`, `" a@b.it"`},
}

func knownDifference(c *contractValue) bool {
	for what, values := range knownDifferences {
		date := strings.HasSuffix(c.Path, "_date")
		if what == "an e-mail without effect" {
			date = c.Path == "default_addresses.email"
		}
		for _, v := range values {
			if date && v == c.Value {
				return true
			}
		}
	}
	return false
}

// tree is a JSON object whose members are written in order, or a value.
type tree struct {
	names []string
	kids  map[string]*tree
	value string
}

// with returns a copy of t in which path has another value; "(absent)" takes it away.
func (t *tree) with(path, value string) *tree {
	if path == "" {
		return &tree{value: value}
	}
	name, rest, _ := strings.Cut(path, ".")
	c := &tree{kids: map[string]*tree{}}
	found := false
	for _, n := range t.names {
		kid := t.kids[n]
		if n == name {
			if found = true; value == "(absent)" && rest == "" {
				continue
			}
			kid = kid.with(rest, value)
		}
		c.names, c.kids[n] = append(c.names, n), kid
	}
	if !found && value != "(absent)" {
		c.names = append(c.names, name)
		c.kids[name] = new(tree).with(rest, value)
	}
	return c
}

func (t *tree) String() string {
	if t.kids == nil {
		return t.value
	}
	var members []string
	for _, n := range t.names {
		members = append(members, strconv.Quote(n)+":"+t.kids[n].String())
	}
	return "{" + strings.Join(members, ",") + "}"
}

var runs = regexp.MustCompile(`\{(.)\*(\d+)\}`)

// readContract reads the recorded values, and the message around them.
func readContract(t *testing.T) (base *tree, values []*contractValue) {
	t.Helper()
	f, err := os.Open("testdata/contract.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	base = new(tree)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		v := new(contractValue)
		if err := json.Unmarshal(lines.Bytes(), v); err != nil {
			t.Fatal(err)
		}
		v.Value = runs.ReplaceAllStringFunc(v.Value, func(s string) string {
			m := runs.FindStringSubmatch(s)
			n, _ := strconv.Atoi(m[2])
			return strings.Repeat(m[1], n)
		})
		if v.Base != "" {
			base = base.with(v.Base, v.Value)
		} else {
			values = append(values, v)
		}
	}
	return base, values
}

// TestContract holds the decoder to the recorded verdicts of the contract's own: no value is
// judged differently but those that are listed, and each of these is. Of two values that change at
// once the contract takes a message exactly when it takes both.
func TestContract(t *testing.T) {
	base, values := readContract(t)
	judge := func(body *tree) bool {
		_, kind, _ := decode(t, body.String())
		return kind == ""
	}
	if !judge(base) || len(values) < 400 {
		t.Fatalf("%d values around %s", len(values), base)
	}
	var agreed []*contractValue
	for _, v := range values {
		got := judge(base.with(v.Path, v.Value))
		if known := knownDifference(v); (got == v.Contract) == known {
			t.Errorf("%s = %.60s: taken %v, by the contract %v, a known difference: %v", v.Path,
				v.Value, got, v.Contract, known)
		} else if !known && v.Path != "" {
			agreed = append(agreed, v)
		}
	}
	random := rand.New(rand.NewPCG(7, 7))
	for range 2500 {
		a, b := agreed[random.IntN(len(agreed))], agreed[random.IntN(len(agreed))]
		if strings.HasPrefix(a.Path+".", b.Path+".") || strings.HasPrefix(b.Path+".", a.Path+".") {
			continue
		}
		got := judge(base.with(a.Path, a.Value).with(b.Path, b.Value))
		if want := a.Contract && b.Contract; got != want {
			t.Errorf("%s = %.40s, %s = %.40s: taken %v, by the contract %v", a.Path, a.Value,
				b.Path, b.Value, got, want)
		}
	}
}
