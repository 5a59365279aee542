package sender

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Sender is one run over one input.
type Sender struct {
	// Set at construction.
	config   Config
	endpoint string
	gate     gate

	// Owned by feed.
	seen occurrences

	// Owned by Run.
	summary Summary
}

// task is one line on its way.
type task struct {
	line
	key   string
	known bool // answered by an earlier run

	// Set before done is closed.
	result Result
	err    error // why there is no result
	done   chan struct{}
}

// New checks the configuration. The results belong to the caller, who closes them after Run.
func New(config Config) (*Sender, error) {
	endpoint, err := config.complete()
	if err != nil {
		return nil, err
	}
	return &Sender{config: config, endpoint: endpoint}, nil
}

// Run sends the input's lines and returns when each has a result, or with the reason why not:
// ctx's error, ErrKeyRefused, ErrOtherInput, a failed read or write. Requests under way are let
// finish, and the results of all lines before the first one without a result are written. That
// lines failed is no error here; the summary counts them. It may be called once.
func (s *Sender) Run(ctx context.Context) (Summary, error) {
	start := time.Now()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	order, work := make(chan *task, window), make(chan *task)
	fed := make(chan error, 1)
	go func() {
		defer close(order)
		defer close(work)
		fed <- s.feed(ctx, order, work)
	}()
	var workers sync.WaitGroup
	for range s.config.Concurrency {
		workers.Go(func() { s.work(ctx, work, stop) })
	}
	err := s.collect(ctx, order)
	if err == nil {
		select {
		case err = <-fed:
		default: // feed is behind in a read that blocks: ctx has ended
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		stop(err)
	}
	workers.Wait()
	err = errors.Join(err, s.config.Results.flush())
	if errors.Is(err, ErrOtherInput) {
		s.config.Results.abandon()
	}
	s.summary.Elapsed = time.Since(start)
	return s.summary, err
}

// feed cuts the input into tasks; each goes to order, and to work unless its result is known.
func (s *Sender) feed(ctx context.Context, order, work chan<- *task) error {
	in := newLines(s.config.In)
	for {
		l, err := in.next()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, io.EOF) {
			if r := s.config.Results; r != nil && in.number < r.recorded {
				return fmt.Errorf("%w: %d lines, results of %d", ErrOtherInput, in.number,
					r.recorded)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("read line %d: %w", in.number+1, err)
		}
		occurrence, ok := s.seen.next(l.hash)
		if !ok {
			return fmt.Errorf("line %d: more than %d lines; split the file", l.number, linesMax)
		}
		t := &task{line: l, key: keyOf(l.hash, occurrence), done: make(chan struct{})}
		if t.result, t.known, err = s.config.Results.next(t.number, t.key); err != nil {
			return err
		}
		select {
		case order <- t:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if t.known {
			t.text = nil
			close(t.done)
			continue
		}
		select {
		case work <- t:
		case <-ctx.Done():
			t.err = context.Cause(ctx)
			close(t.done)
			return t.err
		}
	}
}

// work delivers tasks until there are no more or ctx ends. A task taken gets its done.
func (s *Sender) work(ctx context.Context, work <-chan *task, stop context.CancelCauseFunc) {
	for {
		select {
		case t, ok := <-work:
			if !ok {
				return
			}
			if problem := unfit(t.text); problem != "" {
				t.result = Result{Line: t.number, Key: t.key, Error: problem}
			} else if t.result, t.err = s.deliver(ctx, t); errors.Is(t.err, ErrKeyRefused) {
				stop(t.err)
			}
			t.text = nil // a result that waits for earlier ones holds no text
			close(t.done)
		case <-ctx.Done():
			return
		}
	}
}

// unfit says why a line can not be sent at all.
func unfit(text []byte) string {
	switch {
	case text == nil:
		return fmt.Sprintf("line of more than %d bytes", LineBytesMax)
	case len(text) == 0:
		return "empty line"
	case text[0] != '{' || !json.Valid(text):
		return "not a JSON object"
	}
	return ""
}

// collect writes the results in the order of the lines, up to the first line without one.
func (s *Sender) collect(ctx context.Context, order <-chan *task) error {
	for {
		t, err := s.take(ctx, order)
		if t == nil {
			return err
		}
		select {
		case <-t.done:
		default:
			if err := s.config.Results.flush(); err != nil {
				return err
			}
			<-t.done
		}
		if t.err != nil {
			return t.err
		}
		if err := s.config.Results.write(&t.result); err != nil {
			return err
		}
		s.summary.count(&t.result, t.known)
		if s.config.Progress != nil {
			s.config.Progress(Progress{Lines: s.summary.Lines, Bytes: t.end, Size: s.config.Size,
				Processed: s.summary.Processed, Rejected: s.summary.Rejected,
				Failed: s.summary.Failed})
		}
	}
}

// take returns the next task; nil at the end, or when ctx has ended and none is left.
func (s *Sender) take(ctx context.Context, order <-chan *task) (*task, error) {
	select {
	case t := <-order:
		return t, nil
	default:
	}
	if err := s.config.Results.flush(); err != nil {
		return nil, err
	}
	select {
	case t := <-order:
		return t, nil
	case <-ctx.Done():
	}
	select {
	case t := <-order:
		return t, nil
	default:
		return nil, nil
	}
}
