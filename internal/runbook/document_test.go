package runbook

import (
	"flag"
	"os"
	"strings"
	"testing"
)

const (
	root     = "../.."
	document = root + "/docs/operating.md"
	// operator is the machine on which a block begins.
	operator = "operator"
)

// atOnce is how many machines are operated at a time.
const atOnce = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", atOnce)
	os.Exit(m.Run())
}

// block is a block of commands of the document.
type block struct {
	heading string // above it
	number  int    // among those below the heading, from 0
	lines   []line
	ran     bool
}

// line is a command and the machine that it is for.
type line struct{ host, command string }

// readBlocks takes the blocks of commands out of the document. Those that are marked sh are of the
// smallest federation, which has a test of its own.
func readBlocks(t *testing.T) []*block {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var all []*block
	count := map[string]int{}
	heading, code, fenced, marked := "", "", false, false
	for l := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(l, "```") && !fenced:
			fenced, marked, code = true, strings.TrimSpace(l) != "```", ""
		case strings.HasPrefix(l, "```"):
			fenced = false
			if !marked {
				all = append(all, &block{heading: heading, number: count[heading],
					lines: readLines(code)})
				count[heading]++
			}
		case fenced:
			code += l
		case strings.HasPrefix(l, "#"):
			heading = strings.TrimSpace(strings.TrimLeft(l, "#"))
		}
	}
	return all
}

func readLines(code string) (lines []line) {
	host := operator
	for l := range strings.Lines(strings.ReplaceAll(code, "\\\n", " ")) {
		l = strings.TrimSpace(l)
		if machine, is := strings.CutPrefix(l, "# on "); is {
			machine, _, _ = strings.Cut(machine, ",")
			if host = machine; strings.Contains(machine, "operator") {
				host = operator
			}
			continue
		}
		if l != "" {
			lines = append(lines, line{host, l})
		}
	}
	return lines
}

func TestReadLines(t *testing.T) {
	got := readLines("a \\\n  b\n# on lazio-1\nc\n# on the operator's machine, then\nd\n")
	want := []line{{operator, "a    b"}, {"lazio-1", "c"}, {operator, "d"}}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}
