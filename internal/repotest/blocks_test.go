package repotest

import (
	"strings"
	"testing"
)

// block is a code block of a document.
type block struct {
	document string
	line     int    // of its first line of code
	language string // after the fence; empty for none, and for an indented block
	text     string
}

// documents are all documents of the repository, as paths below its root.
func documents(t *testing.T) []string { return filesWith(t, ".md") }

// blocks cuts the fenced and indented code blocks out of a document.
func blocks(document, text string) []block {
	var all []block
	var open *block
	fenced := false
	previous := ""
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		fence := strings.HasPrefix(trimmed, "```")
		indented := strings.HasPrefix(line, "    ")
		switch {
		case fenced && fence:
			all, open, fenced = append(all, *open), nil, false
		case fenced:
			open.text += line + "\n"
		case fence:
			open = &block{document: document, line: i + 2, language: strings.Trim(trimmed, "`")}
			fenced = true
		case indented && (open != nil || previous == ""):
			if open == nil {
				open = &block{document: document, line: i + 1}
			}
			open.text += strings.TrimPrefix(line, "    ") + "\n"
		case open != nil:
			all, open = append(all, *open), nil
		}
		previous = trimmed
	}
	return all
}

// section returns the text under a heading, up to the next one of its level or above.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut("\n"+text, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("no heading %q", heading)
	}
	level := strings.Count(strings.Fields(heading)[0], "#")
	fenced := false
	for i, line := range strings.SplitAfter(rest, "\n") {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		marks := len(line) - len(strings.TrimLeft(line, "#"))
		if !fenced && marks > 0 && marks <= level && i > 0 {
			return rest[:strings.Index(rest, line)]
		}
	}
	return rest
}

func TestBlocks(t *testing.T) {
	got := blocks("x.md", "text\n\n```sh\na\n\nb\n```\n\n    c\n    d\n\n* item\n    no code\n")
	want := []block{{"x.md", 4, "sh", "a\n\nb\n"}, {"x.md", 9, "", "c\nd\n"}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("blocks are %+v, want %+v", got, want)
	}
}
