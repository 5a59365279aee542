package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// The bounds on a slow client. A message of 256 KiB in 30 s is 9 KB/s.
const (
	headerWait     = 10 * time.Second
	requestWait    = 30 * time.Second // header and body
	answerWait     = 60 * time.Second // from the header's end; a submission takes 5 s at most
	idleWait       = 2 * time.Minute
	headerBytesMax = 64 << 10
	// streamsMax bounds the requests of one HTTP/2 connection.
	streamsMax = 250
)

// serve serves clients until ctx ends, then drains: no new connections, requests under way get
// DrainWait. inner is the life of the parts that serve them; when it ends first, so do they.
func (g *Gateway) serve(ctx, inner context.Context) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(g.cfg.TLS == nil)
	server := &http.Server{
		Handler:           g.edge,
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: streamsMax},
		TLSConfig:         g.cfg.TLS,
		ReadHeaderTimeout: headerWait,
		ReadTimeout:       requestWait,
		WriteTimeout:      answerWait,
		IdleTimeout:       idleWait,
		MaxHeaderBytes:    headerBytesMax,
		// What the server has to say is about single clients, and theirs to provoke.
		ErrorLog: slog.NewLogLogger(g.cfg.Logger.Handler(), slog.LevelDebug),
	}
	listener := newBounded(g.cfg.HTTP, g.cfg.Limits.Connections, g.edge)
	drained := make(chan struct{})
	stopDrain := context.AfterFunc(ctx, func() {
		defer close(drained)
		g.draining.Store(true)
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.DrainWait)
		defer cancel()
		if err := server.Shutdown(wait); err != nil {
			g.cfg.Logger.Warn("requests cut off", "after", g.cfg.DrainWait,
				"requests", g.edge.requests.Load())
			server.Close()
		}
	})
	stopClose := context.AfterFunc(inner, func() { server.Close() })
	defer stopClose()
	var err error
	if g.cfg.TLS != nil {
		err = server.ServeTLS(listener, "", "")
	} else {
		err = server.Serve(listener)
	}
	if stopDrain() { // nobody told us to stop
		server.Close()
		if errors.Is(err, http.ErrServerClosed) {
			return nil // inner ended, and says why
		}
		return fmt.Errorf("gateway: HTTP: %w", err)
	}
	<-drained
	return nil
}

// bounded is a listener that holds at most so many connections; more wait to be accepted.
type bounded struct {
	net.Listener
	slots  chan struct{}
	edge   *edge
	closed chan struct{}
	once   sync.Once
}

func newBounded(l net.Listener, connections int, e *edge) *bounded {
	return &bounded{Listener: l, slots: make(chan struct{}, connections), edge: e,
		closed: make(chan struct{})}
}

// Accept waits for a slot, then for a connection.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.slots <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.slots
		return nil, err
	}
	b.edge.connections.Add(1)
	return &boundedConn{Conn: c, release: sync.OnceFunc(func() {
		b.edge.connections.Add(-1)
		<-b.slots
	})}, nil
}

// Close stops accepting; connections stay.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

// boundedConn gives its slot back when it is closed.
type boundedConn struct {
	net.Conn
	release func()
}

// Close closes the connection.
func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
