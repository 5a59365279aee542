package operate

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"os"
	"path/filepath"
	"time"

	"github.com/staffetta/staffetta/wire"
	"github.com/staffetta/staffetta/wire/link"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	// probeWait bounds the probe of one peer: longer than a handshake over a bad line, shorter
	// than an operator's patience. The link gives up a dial after some seconds by itself.
	probeWait = 3 * time.Second
	// probesAtOnce bounds the probes under way, which are a handshake each, probesMax those of
	// all operators together: one that runs.
	probesAtOnce = 16
	probesMax    = 1
	// probeCalls are made over each fresh connection; the fastest gives the clock's difference.
	probeCalls = 3
	// fsyncs of fsyncBytes, a block's size, say how slow the disk is. More would disturb it.
	fsyncs     = 4
	fsyncBytes = 64 << 10
	// filesWanted is the limit of open files that docs/operating.md asks for.
	filesWanted = 65536
	probeFile   = "probe.tmp"
)

// probe answers MethodProbe: it looks at this machine and reaches for peers.
func (d *Desk) probe(ctx context.Context, _ link.Identity, q *wire.Probe) (
	*wire.ProbeReport, error) {
	if len(q.Peers) > wire.ProbePeersMax {
		return nil, wire.Errorf(wire.TooLarge, "%d peers, %d allowed", len(q.Peers), wire.ProbePeersMax)
	}
	select {
	case d.probing <- struct{}{}:
		defer func() { <-d.probing }()
	case <-ctx.Done():
		return nil, wire.Errorf(wire.Overloaded, "another probe is under way")
	}
	report := wire.ProbeReport{Node: d.ID, Self: d.probeSelf(),
		Peers: make([]wire.PeerProbe, len(q.Peers))}
	var g errgroup.Group
	g.SetLimit(probesAtOnce)
	for i, peer := range q.Peers {
		g.Go(func() error {
			report.Peers[i] = d.probePeer(ctx, peer)
			return nil
		})
	}
	g.Wait() // no probe fails: what went wrong is in its report
	return &report, nil
}

func (d *Desk) probePeer(ctx context.Context, peer wire.NodeID) wire.PeerProbe {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	addr, _ := d.Addr(peer)
	p := wire.PeerProbe{Node: peer, Addr: addr}
	probed, err := d.Link.Probe(ctx, peer, wire.MethodStatus, wire.Encode(&wire.StatusQuery{}),
		probeCalls)
	if err != nil {
		p.Problem, p.ProblemCode = err.Error(), err.Code
	}
	p.HeardMillis = millis(d.Link.Heard(context.WithoutCancel(ctx), peer))
	p.Protocol = probed.Protocol
	p.HandshakeMicros = uint64(probed.Handshake.Microseconds())
	p.RoundTripMicros = uint64(probed.RoundTrip.Microseconds())
	p.PacketBytes = uint64(probed.PacketBytes)
	if probed.Certificate != nil {
		p.Certificate = certificateStatus(probed.Certificate)
	}
	best := time.Duration(-1)
	for _, a := range probed.Answers {
		var s wire.NodeStatus
		if err := wire.Decode(a.Body, &s); err != nil {
			p.Problem, p.ProblemCode = err.Error(), wire.Malformed
			return p
		}
		p.Binary, p.Version = s.Binary, s.Version
		if took := a.Got.Sub(a.Sent); best < 0 || took < best {
			best = took
			// This node's clock may be a test's: what matters is the difference of the two.
			middle := d.Now().Add(-time.Since(a.Sent) + took/2)
			p.ClockMillis = s.Time.Sub(middle).Milliseconds()
		}
	}
	return p
}

func certificateStatus(cert *x509.Certificate) wire.CertificateStatus {
	s := wire.CertificateStatus{Issuer: cert.Issuer.String(),
		NotBefore: wire.TimeOf(cert.NotBefore), NotAfter: wire.TimeOf(cert.NotAfter)}
	if len(cert.URIs) > 0 {
		s.Identity = cert.URIs[0].String()
	}
	return s
}

// probeSelf measures what a peer cannot see.
func (d *Desk) probeSelf() wire.SelfProbe {
	p := wire.SelfProbe{FilesWanted: filesWanted}
	slowest, err := fsyncTime(d.Dir.Path)
	p.FsyncMicros = uint64(slowest.Microseconds())
	if err != nil {
		p.FsyncError = err.Error()
	}
	size, wanted := d.Link.Buffer()
	p.ReceiveBufferBytes, p.WantedBufferBytes = uint64(size), uint64(wanted)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		p.FilesMax = limit.Cur
	}
	if d.cfg.Problem != nil {
		if err := d.cfg.Problem(); err != nil {
			p.CertificateProblem = err.Error()
		}
	}
	return p
}

// fsyncTime is the slowest of some writes with an fsync in dir, in a file that is gone on return.
func fsyncTime(dir string) (slowest time.Duration, err error) {
	name := filepath.Join(dir, probeFile)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		f.Close()
		os.Remove(name)
	}()
	block := make([]byte, fsyncBytes)
	rand.Read(block) // what does not compress
	for range fsyncs {
		begun := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		slowest = max(slowest, time.Since(begun))
	}
	return slowest, nil
}
