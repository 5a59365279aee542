package torture

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// timeline tells what happens, each line with its time since the beginning.
type timeline struct {
	out   io.Writer
	began time.Time

	mu sync.Mutex // serialises lines
}

// now is the time since the beginning.
func (t *timeline) now() time.Duration { return time.Since(t.began) }

func (t *timeline) tell(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "%8.2fs  %s\n", t.now().Seconds(), fmt.Sprintf(format, args...))
}

// Write tells the events of the processes, a line each.
func (t *timeline) Write(b []byte) (int, error) {
	for len(b) > 0 && b[len(b)-1] == '\n' {
		b = b[:len(b)-1]
	}
	t.tell("%s", b)
	return len(b), nil
}
