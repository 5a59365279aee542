package institution

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/staffetta/staffetta/internal/problem"
	"github.com/staffetta/staffetta/wire"
)

const (
	// bulkToldMax is how many answers may wait for the writer.
	bulkToldMax = 128
	// bulkWriteBytes is how much is written at a time, at most: some 300 answers.
	bulkWriteBytes = 32 << 10
)

// await waits for what the relay says of each line, and passes it on. It ends when no more lines
// are taken, after the last of them is told.
func (s *stream) await() {
	defer close(s.told)
	for t := range s.taken {
		a := told{number: t.number, err: t.err, unserved: t.unserved}
		if t.wait != nil {
			out, err := t.wait()
			s.bytes.Release(t.size)
			a.outcome, a.err = out, undecided(out, err)
		}
		s.told <- a
	}
}

// write answers the lines. Answers that are ready together are written together, and nothing that
// is ready waits.
func (s *stream) write() {
	buf := make([]byte, 0, bulkWriteBytes+1<<10)
	for {
		var a told
		ok := true
		select {
		case a, ok = <-s.told:
		default:
			buf = s.flush(buf)
			a, ok = <-s.told
		}
		if !ok {
			s.flush(buf)
			return
		}
		if buf = s.append(buf, &a); len(buf) >= bulkWriteBytes {
			buf = s.flush(buf)
		}
	}
}

// flush writes the answers in buf and returns it empty. When that fails, the client has left or
// does not read: nothing more is read from it, and what was taken is decided and told to nobody.
func (s *stream) flush(buf []byte) []byte {
	if len(buf) == 0 || s.broken.Load() {
		return buf[:0]
	}
	_, err := s.call.W.Write(buf)
	if err == nil {
		if err = s.http.Flush(); errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
	}
	if err == nil {
		s.touch()
		return buf[:0]
	}
	s.broken.Store(true)
	s.drain()
	return buf[:0]
}

// append appends the answer of a line.
func (s *stream) append(b []byte, a *told) []byte {
	b = strconv.AppendInt(append(b, `{"line":`...), a.number, 10)
	if a.err != nil {
		return s.appendProblem(b, a.err)
	}
	s.api.stats.verdict(a.outcome.Verdict)
	b = append(append(b, `,"status_code":201,"id":"`...), a.outcome.ID.String()...)
	b = appendVerdict(append(b, '"'), a.outcome.Verdict)
	if a.unserved != "" {
		b = append(append(append(b, `,"unserved":"`...), a.unserved...), '"')
	}
	return append(b, '}', '\n')
}

// appendProblem appends the members that tell why a line has no verdict.
func (s *stream) appendProblem(b []byte, err error) []byte {
	p := problem.From(err)
	if p.Status == http.StatusInternalServerError && !s.faulted {
		s.faulted = true // the metric counts them; a line in the log for each could fill the disk
		s.api.log.LogAttrs(s.call.R.Context(), slog.LevelError, "call failed",
			slog.String("operation", s.call.R.Pattern), slog.String("problem", string(p.Type)),
			slog.String("code", wire.AsError(err).Code.String()))
	}
	s.api.stats.refusals.WithLabelValues(string(p.Type)).Inc()
	b = strconv.AppendInt(append(b, `,"status_code":`...), int64(p.Status), 10)
	b = append(append(append(b, `,"type":"`...), p.Type.URN()...), `","title":`...)
	// Titles and details are ours, and of what a client sent only what is UTF-8.
	b, _ = jsontext.AppendQuote(b, p.Title)
	b, _ = jsontext.AppendQuote(append(b, `,"detail":`...), p.Detail)
	if p.RetryAfter > 0 {
		b = strconv.AppendInt(append(b, `,"retry_after":`...), int64(seconds(p.RetryAfter)), 10)
	}
	return append(b, '}', '\n')
}
