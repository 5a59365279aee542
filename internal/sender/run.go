package sender

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// Sender is one run over one input.
type Sender struct {
	// Set at construction.
	config   Config
	endpoint string
	gate     gate
	queue    queue
	texts    *semaphore.Weighted // bytes of lines that have no result

	stop     context.CancelCauseFunc // set by Run, before there are workers
	workers  sync.WaitGroup
	oneByOne atomic.Bool // the gateway takes no bulk requests, or shall get none
	fallBack sync.Once

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

	// Owned by the worker or the queue that has the task.
	began     time.Time // the first attempt
	attempts  int       // that were answered, and decided nothing
	notBefore time.Time // the next one

	// Set before done is closed.
	result Result
	done   chan struct{}
}

// New checks the configuration. The results belong to the caller, who closes them after Run.
func New(config Config) (*Sender, error) {
	endpoint, err := config.complete()
	if err != nil {
		return nil, err
	}
	s := &Sender{config: config, endpoint: endpoint,
		queue: queue{fresh: make(chan *task, window)}, texts: semaphore.NewWeighted(textBytesMax)}
	s.oneByOne.Store(config.OneByOne)
	return s, nil
}

// Run sends the input's lines and returns when each has a result, or with the reason why not:
// ctx's error, ErrKeyRefused, ErrOtherInput, a failed read or write. Requests under way are let
// finish, and the results of all lines before the first one without a result are written. That
// lines failed is no error here; the summary counts them. It may be called once.
func (s *Sender) Run(ctx context.Context) (Summary, error) {
	start := time.Now()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	order := make(chan *task, window)
	fed := make(chan error, 1)
	go func() {
		defer close(order)
		defer close(s.queue.fresh)
		fed <- s.feed(ctx, order)
	}()
	workers := streams
	if s.config.OneByOne {
		workers = s.config.Concurrency
	}
	s.stop = stop
	s.start(ctx, workers)
	idle := make(chan struct{})
	go func() { s.workers.Wait(); close(idle) }()
	err := s.collect(ctx, order, idle)
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
	<-idle
	err = errors.Join(err, s.config.Results.flush())
	if errors.Is(err, ErrOtherInput) {
		s.config.Results.abandon()
	}
	s.summary.Elapsed = time.Since(start)
	return s.summary, err
}

// start starts workers. It is called before Run waits for them, or by one of them.
func (s *Sender) start(ctx context.Context, workers int) {
	for range workers {
		s.workers.Go(func() { s.work(ctx) })
	}
}

// feed cuts the input into tasks; each goes to order, and to the queue unless its result is known.
func (s *Sender) feed(ctx context.Context, order chan<- *task) error {
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
		if s.texts.Acquire(ctx, int64(len(t.text))) != nil {
			return context.Cause(ctx)
		}
		select {
		case s.queue.fresh <- t:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// work sends lines until there are no more or ctx ends: as many in one request as there are, or
// one.
func (s *Sender) work(ctx context.Context) {
	for failures := 0; ; {
		if s.gate.wait(ctx) != nil {
			return
		}
		batch := s.fit(s.queue.take(ctx, s.limit))
		switch {
		case batch == nil:
			return
		case len(batch) == 0:
		case !s.oneByOne.Load():
			var err error
			if failures, err = s.bulk(ctx, batch, failures); err != nil {
				return
			}
		default: // another worker may have found out while this one took more than one
			s.queue.put(batch[1:]...)
			r, err := s.deliver(ctx, batch[0])
			if errors.Is(err, ErrKeyRefused) {
				s.stop(err)
			}
			if err != nil {
				return
			}
			s.settle(batch[0], r)
		}
	}
}

// limit is how many lines go into a request.
func (s *Sender) limit() int {
	if s.oneByOne.Load() {
		return 1
	}
	return bulkLines
}

// bulk sends a batch in one request, and puts back the lines that it leaves without an answer.
// After one that failed it waits, the longer the more of them have. With an error the worker ends.
func (s *Sender) bulk(ctx context.Context, batch []*task, failures int) (int, error) {
	rest, why, err := s.sendBulk(ctx, batch)
	switch {
	case errors.Is(err, errNoBulk):
		s.queue.put(rest...)
		s.oneByOne.Store(true)
		s.fallBack.Do(func() { s.start(ctx, s.config.Concurrency-1) })
		return 0, nil
	case err != nil:
		s.stop(err)
		return 0, err
	case len(rest) == 0:
		return 0, nil
	case len(rest) < len(batch):
		failures = 0
	}
	wait := why.after + backoff(failures)
	if why.result.HTTPStatus == http.StatusTooManyRequests {
		s.gate.close(wait)
	}
	for _, t := range rest {
		s.later(t, why.result, wait)
	}
	return failures + 1, pause(ctx, wait)
}

// fit settles the lines of a batch that cannot be sent at all, and returns the others; nil only
// for nil.
func (s *Sender) fit(batch []*task) []*task {
	fit := batch[:0]
	for _, t := range batch {
		if t.began.IsZero() {
			if problem := unfit(t.text); problem != "" {
				s.settle(t, Result{Error: problem})
				continue
			}
			t.began = time.Now()
		}
		fit = append(fit, t)
	}
	return fit
}

// settle gives a line its result.
func (s *Sender) settle(t *task, r Result) {
	r.Line, r.Key = t.number, t.key
	s.texts.Release(int64(len(t.text)))
	t.result, t.text = r, nil // a result that waits for earlier ones holds no text
	close(t.done)
}

// unfit says why a line cannot be sent at all.
func unfit(text []byte) string {
	switch {
	case text == nil:
		return fmt.Sprintf("line of more than %d bytes", LineBytesMax)
	case len(text) == 0:
		return "empty line"
	case text[0] != '{' || !json.Valid(text):
		return "not a JSON object"
	case bytes.Contains(text, []byte(keyMember)):
		var members map[string]json.RawMessage
		json.Unmarshal(text, &members)
		if _, ok := members[keyMember]; ok {
			return "has an " + keyMember + " of its own"
		}
	}
	return ""
}

// collect writes the results in the order of the lines, up to the first line without one, which
// has none any more once the workers are idle.
func (s *Sender) collect(ctx context.Context, order <-chan *task, idle <-chan struct{}) error {
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
			select {
			case <-t.done:
			case <-idle:
			}
		}
		select {
		case <-t.done:
		default:
			return context.Cause(ctx)
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
