package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/quic-go/quic-go"
	"github.com/staffetta/staffetta/wire"
)

// String names the peer, for error texts.
func (k peerKey) String() string {
	if k.node == "" {
		return k.addr
	}
	return fmt.Sprintf("node %s at %s", k.node, k.addr)
}

// dial makes one connection. It returns with the peer's identity verified; whether the peer
// accepts ours shows only when it answers; refused says that it did not.
func (l *Link) dial(ctx context.Context, key peerKey) (_ *outConn, refused bool, _ *wire.Error) {
	c := &outConn{pool: l.pool, key: key}
	addr, err := resolve(ctx, key.addr, l.cfg.PacketConn.LocalAddr())
	if err == nil {
		c.conn, err = l.transport.Dial(ctx, addr, l.clientTLS(c), dialConfig(key.proto))
	}
	if err != nil {
		if errors.Is(err, quic.ErrTransportClosed) {
			l.fail(fmt.Errorf("link: socket: %w", err))
		}
		l.stats.dials.WithLabelValues(key.proto, "failed").Inc()
		e := errDial(key, err)
		l.log.Debug("dial failed", "to", key.node, "addr", key.addr, "protocol", key.proto,
			"reason", e)
		return nil, refusedByPeer(err), e
	}
	l.stats.dials.WithLabelValues(key.proto, "ok").Inc()
	l.log.Debug("connected", "peer", c.id, "addr", key.addr, "protocol", key.proto,
		"gso", c.conn.ConnectionState().GSO)
	return c, false, nil
}

// CheckAddr refuses what is no host:port that can be dialled. It asks nobody: whether there is such
// a host is another question.
func CheckAddr(addr string) error {
	host, service, err := net.SplitHostPort(addr)
	port, portErr := strconv.ParseUint(service, 10, 16)
	if err != nil || portErr != nil || host == "" || port == 0 || !wire.Visible(addr) {
		return fmt.Errorf("%.80q is not host:port, such as 10.12.0.1:7400", addr)
	}
	return nil
}

// resolve finds the UDP address of host:port that the local socket can reach.
func resolve(ctx context.Context, addr string, local net.Addr) (*net.UDPAddr, error) {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return net.UDPAddrFromAddrPort(ap), nil
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%q is no port", service)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	udp, ok := local.(*net.UDPAddr)
	v4only := ok && udp.IP.To4() != nil
	for _, ip := range ips {
		ip = ip.Unmap()
		if ip.Is4() || !v4only {
			return net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(port))), nil
		}
	}
	return nil, fmt.Errorf("%s has no address that %s can reach", host, local)
}

// dialConfig is the dialler's, which alone keeps the connection alive: one ping serves both.
func dialConfig(proto string) *quic.Config {
	c := listenConfig()
	c.KeepAlivePeriod = keepAlive
	c.HandshakeIdleTimeout = dialIdle
	c.MaxIncomingStreams = -1
	if proto == protoRaft {
		c.InitialStreamReceiveWindow = raftStreamWindow
		c.MaxStreamReceiveWindow = raftStreamWindowMax
		c.InitialConnectionReceiveWindow = raftConnWindow
		c.MaxConnectionReceiveWindow = raftConnWindowMax
	}
	return c
}
