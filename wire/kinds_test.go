package wire

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

const numbersFile = "testdata/numbers.golden"

// numbers are the numbers that are assigned, each with a line of what it is for ever.
func numbers() (keys []string, lines map[string]string) {
	lines = map[string]string{}
	add := func(table string, number, since any, name string, group Group, request, answer any) {
		key := fmt.Sprintf("%s %d", table, number)
		keys = append(keys, key)
		lines[key] = fmt.Sprintf("%s%v of %s: %s → %s", name, since, [...]string{"any group",
			"a region", "the federation"}[group], formOf(request), formOf(answer))
	}
	since := func(v uint32) string { return fmt.Sprintf(", version %d,", v) }
	for k, kind := range known[EntryKind](entryKinds[:]) {
		add("entry", k, since(kind.Since), kind.Name, kind.Group, kind.Request, kind.Answer)
	}
	for k, kind := range CommandKinds() {
		add("command", k, since(kind.Since), kind.Name, kind.Group, kind.Request, kind.Answer)
	}
	for m, call := range Methods() {
		add("call", m, "", call.Name, call.Group, call.Request, call.Answer)
	}
	return keys, lines
}

// formOf names what a request or an answer consists of.
func formOf(v any) string {
	switch f := v.(type) {
	case nil:
		return "empty"
	case Frame:
		if f.Of == nil {
			return f.Name
		}
		return f.Name + " of " + formOf(f.Of)
	}
	return reflect.TypeOf(v).Elem().Name()
}

// TestNumbersAreAssignedForEver: a number that was released keeps its name, version, request and
// answer. One may be added; -update writes its line and changes none. The line of a call that is
// not made any more becomes "retired", by hand, and nothing gets its number.
func TestNumbersAreAssignedForEver(t *testing.T) {
	text, err := os.ReadFile(numbersFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	frozen := map[string]bool{}
	keys, lines := numbers()
	for line := range strings.Lines(string(text)) {
		key, was, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok || frozen[key] {
			t.Fatalf("%s: a line that is none, or a number twice: %s", numbersFile, line)
		}
		frozen[key] = true
		if now, used := lines[key]; used != (was != "retired") || used && now != was {
			t.Errorf("%s was assigned to\n\t%s\nand is now\n\t%s", key, was, now)
		}
	}
	for _, key := range keys {
		switch {
		case frozen[key]:
		case *update:
			text = fmt.Appendf(text, "%s: %s\n", key, lines[key])
		default:
			t.Errorf("%s: %s is not in %s: run with -update once it is to be kept for ever", key,
				lines[key], numbersFile)
		}
	}
	if *update {
		if err := os.WriteFile(numbersFile, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKinds holds what is true of every line of the tables.
func TestKinds(t *testing.T) {
	for k, kind := range CommandKinds() {
		want := OfRegion
		if k > 100 {
			want = OfFederation
		}
		if kind.Group != want || kind.Since > Version || kind.Name == "" || kind.Request == nil {
			t.Errorf("command %d: %+v, want group %d and all of it", k, kind, want)
		}
	}
	names := map[string]Method{}
	for m, call := range Methods() {
		if other, dup := names[call.Name]; dup || call.Name == "" {
			t.Errorf("calls %d and %d are both called %q", other, m, call.Name)
		}
		names[call.Name] = m
	}
	for _, k := range []CommandKind{0, 48, 51, 60, 200, 255} {
		if k.Since() != 0 {
			t.Errorf("command kind %d is not assigned and is of version %d", k, k.Since())
		}
	}
}
