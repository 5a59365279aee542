package sender

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// kindsMax bounds the kinds of outcomes that a summary tells apart; the rest are "other".
const kindsMax = 64

// Summary is what became of a run's lines.
type Summary struct {
	Lines     int64 // with a result, those of earlier runs included
	Known     int64 // of them, those that an earlier run had answered
	Processed int64
	Rejected  int64
	Failed    int64
	Elapsed   time.Duration

	kinds map[string]int64
}

// count takes a result in.
func (s *Summary) count(r *Result, known bool) {
	s.Lines++
	if known {
		s.Known++
	}
	kind := r.Status
	switch {
	case r.Error != "":
		s.Failed++
		kind = r.kind()
	case r.Status == "REJECTED":
		s.Rejected++
		kind = strings.TrimSpace(kind + " " + r.RejectionReason)
	default:
		s.Processed++
	}
	if s.kinds == nil {
		s.kinds = make(map[string]int64)
	}
	if _, ok := s.kinds[kind]; !ok && len(s.kinds) >= kindsMax {
		kind = "other"
	}
	s.kinds[kind]++
}

// kind is an error without what varies from line to line: the status and the problem's title.
func (r *Result) kind() string {
	if r.HTTPStatus == 0 {
		return "error: " + r.Error
	}
	title, _, _ := strings.Cut(r.Error, ":")
	return fmt.Sprintf("error %d: %s", r.HTTPStatus, title)
}

// Count is how many lines ended in one kind of outcome, as the summary names it.
func (s *Summary) Count(kind string) int64 { return s.kinds[kind] }

// Write writes the summary for people: a line per kind of outcome, the most frequent first.
func (s *Summary) Write(w io.Writer) error {
	type row struct {
		kind string
		n    int64
	}
	var rows []row
	for kind, n := range s.kinds {
		rows = append(rows, row{kind, n})
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.kind, b.kind))
	})
	var out strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&out, "%9d  %s\n", r.n, r.kind)
	}
	fmt.Fprintf(&out, "%9d  lines", s.Lines)
	if s.Known > 0 {
		fmt.Fprintf(&out, ", %d of them by earlier runs", s.Known)
	}
	if sent := s.Lines - s.Known; sent > 0 && s.Elapsed > 0 {
		fmt.Fprintf(&out, ", %d in %s (%.0f/s)", sent, s.Elapsed.Round(time.Millisecond),
			float64(sent)/s.Elapsed.Seconds())
	}
	out.WriteByte('\n')
	_, err := io.WriteString(w, out.String())
	return err
}
