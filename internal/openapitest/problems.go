package openapitest

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/staffetta/staffetta/internal/problem"
)

// CheckProblems fails the test unless the table under the heading "## section" of the file lists
// exactly the given problems, each with its status: rows of the form
//
//	| `type` | status | title | when |
func CheckProblems(t testing.TB, path, section string, list []problem.Problem) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	documented := rows(string(text), section)
	for _, p := range list {
		row, ok := documented[string(p.Type)]
		delete(documented, string(p.Type))
		switch {
		case !ok:
			t.Errorf("%s: problem %s is not listed under %q", path, p.Type, section)
		case row.status != strconv.Itoa(p.Status):
			t.Errorf("%s: problem %s has status %s, the code %d", path, p.Type, row.status,
				p.Status)
		case row.title != p.Title:
			t.Errorf("%s: problem %s has title %q, the code %q", path, p.Type, row.title, p.Title)
		}
	}
	for name := range documented {
		t.Errorf("%s: problem %s is listed under %q, but no code answers it", path, name, section)
	}
}

type row struct{ status, title string }

// rows reads the tables of one section.
func rows(text, section string) map[string]row {
	found := map[string]row{}
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			in = heading == section
			continue
		}
		cells := strings.Split(line, "|")
		if !in || len(cells) < 6 {
			continue
		}
		name := strings.TrimSpace(cells[1])
		if strings.HasPrefix(name, "`") {
			found[strings.Trim(name, "`")] = row{strings.TrimSpace(cells[2]),
				strings.TrimSpace(cells[3])}
		}
	}
	return found
}
