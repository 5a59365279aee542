package sender

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// resultBytesMax bounds a line of a results file; ours are below 1 KiB.
const resultBytesMax = 64 << 10

// ErrOtherInput says that a results file answers another input than the one given.
var ErrOtherInput = errors.New("the results are those of another input")

// Result is one line of the results: what became of the input's line of the same number.
type Result struct {
	Line            int64  `json:"line"`
	Key             string `json:"idempotency_key"`
	HTTPStatus      int    `json:"http_status,omitempty"` // absent when no request was answered
	ID              string `json:"id,omitempty"`
	Status          string `json:"status,omitempty"`
	RejectionReason string `json:"rejection_reason,omitempty"`
	Error           string `json:"error,omitempty"`
	// Retriable: nothing was decided. The next run with these results tries the line again.
	Retriable bool `json:"retriable,omitempty"`
}

// Results is a results file, or a stream without memory of earlier runs. One run at a time uses
// it: a second one, of another process too, is refused.
type Results struct {
	path     string
	file     *os.File // nil for a stream
	recorded int64    // complete lines of earlier runs
	redo     bool     // some of them are to be tried again
	old      *bufio.Reader

	out     *bufio.Writer
	partial *os.File // takes the place of file while redo rewrites the recorded lines
	written int64    // lines of partial
}

// NewResults makes results of a stream: nothing is known of earlier runs.
func NewResults(w io.Writer) *Results { return &Results{out: bufio.NewWriterSize(w, 64<<10)} }

// OpenResults opens or creates the file at path, and cuts off a line that an interruption left
// unfinished. The caller closes it.
func OpenResults(path string) (*Results, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open results: %w", err)
	}
	r := &Results{path: path, file: f}
	if err := r.open(); err != nil {
		f.Close()
		return nil, fmt.Errorf("open results: %w", err)
	}
	return r, nil
}

func (r *Results) open() error {
	if err := lock(r.file); err != nil {
		return err
	}
	if info, err := r.file.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("%s is not a regular file", r.path))
	}
	end, err := r.scan()
	if err != nil {
		return err
	}
	if err := r.file.Truncate(end); err != nil {
		return err
	}
	r.old = readerOf(r.file, end)
	if _, err := r.file.Seek(end, io.SeekStart); err != nil {
		return err
	}
	r.out = bufio.NewWriterSize(r.file, 64<<10)
	if r.redo {
		return r.beginRedo()
	}
	return nil
}

// scan counts the complete lines and returns where they end.
func (r *Results) scan() (end int64, err error) {
	in := bufio.NewReaderSize(r.file, resultBytesMax)
	for {
		b, err := in.ReadSlice('\n')
		if err == io.EOF { // what follows the last end of line is unfinished
			if begin := fmt.Sprintf(`{"line":%d,`, r.recorded+1); !strings.HasPrefix(begin,
				string(b[:min(len(b), len(begin))])) {
				return 0, fmt.Errorf("%s is not a file of results", r.path)
			}
			return end, nil
		}
		if err != nil {
			return 0, fmt.Errorf("%s is not a file of results: line %d: %w", r.path,
				r.recorded+1, err)
		}
		var v Result
		if err := json.Unmarshal(b, &v); err != nil || v.Line != r.recorded+1 || v.Key == "" {
			return 0, fmt.Errorf("%s is not a file of results: line %d", r.path, r.recorded+1)
		}
		r.recorded++
		r.redo = r.redo || v.Retriable
		end += int64(len(b))
	}
}

// beginRedo opens the file that will take the place of the recorded one. An older one, left by
// a crash, is of no use: its lines meet their first verdicts again.
func (r *Results) beginRedo() error {
	partial, err := os.OpenFile(r.path+".partial", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	r.partial = partial
	r.out = bufio.NewWriterSize(partial, 64<<10)
	return lock(partial)
}

// next returns the recorded result of a line, and whether there is one. A result that is
// to be tried again is not returned as known.
func (r *Results) next(number int64, key string) (v Result, known bool, err error) {
	if r == nil || number > r.recorded {
		return v, false, nil
	}
	b, err := r.old.ReadSlice('\n')
	if err != nil {
		return v, false, fmt.Errorf("read results: %w", err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, false, fmt.Errorf("read results: line %d: %w", number, err)
	}
	if v.Key != key {
		return v, false, fmt.Errorf("%w: line %d differs", ErrOtherInput, number)
	}
	return v, !v.Retriable, nil
}

// write appends the result of the next line; of those recorded, only when they are rewritten.
func (r *Results) write(v *Result) error {
	if r == nil || v.Line <= r.recorded && r.partial == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if _, err := r.out.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if r.partial == nil {
		return nil
	}
	if r.written++; r.written == r.recorded {
		return r.endRedo()
	}
	return nil
}

// endRedo puts the rewritten lines, and those behind them that were not reached, into the place
// of the recorded ones.
func (r *Results) endRedo() error {
	if err := r.copyRest(); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := errors.Join(r.out.Flush(), r.partial.Sync()); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := os.Rename(r.partial.Name(), r.path); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	r.file.Close()
	r.file, r.partial = r.partial, nil
	return nil
}

// copyRest appends the recorded lines that were not rewritten.
func (r *Results) copyRest() error {
	if r.written == r.recorded {
		return nil
	}
	rest := readerOf(r.file, 1<<62)
	for number := int64(1); number <= r.recorded; number++ {
		b, err := rest.ReadSlice('\n')
		if err != nil {
			return err
		}
		if number <= r.written {
			continue
		}
		if _, err := r.out.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// flush hands everything written to the operating system.
func (r *Results) flush() error {
	if r == nil {
		return nil
	}
	if err := r.out.Flush(); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// abandon forgets what was rewritten, so that Close leaves the recorded lines as they were.
func (r *Results) abandon() {
	if r != nil && r.partial != nil {
		r.partial.Close()
		os.Remove(r.partial.Name())
		r.partial = nil
		r.out = bufio.NewWriter(r.file)
	}
}

// Recorded is the number of lines that earlier runs had answered.
func (r *Results) Recorded() int64 { return r.recorded }

// Close makes everything written durable.
func (r *Results) Close() error {
	if r.file == nil {
		return r.flush()
	}
	var err error
	if r.partial != nil {
		err = r.endRedo()
	}
	return errors.Join(err, r.flush(), r.file.Sync(), r.file.Close())
}

// readerOf reads the first bytes of a file without moving its offset.
func readerOf(f *os.File, bytes int64) *bufio.Reader {
	return bufio.NewReaderSize(io.NewSectionReader(f, 0, bytes), resultBytesMax)
}
