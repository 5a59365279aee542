package link

import "net"

// socketBufferBytes is what quic-go asks for (its wiki, "UDP Buffer Sizes"): with less, bursts
// are dropped by the kernel and have to be sent again.
const socketBufferBytes = 7 << 20

// warnOfSmallBuffers asks for large socket buffers, and says when the system does not give them.
func (l *Link) warnOfSmallBuffers() {
	conn, ok := l.cfg.PacketConn.(*net.UDPConn)
	if !ok {
		return
	}
	// Errors show in the size that results.
	conn.SetReadBuffer(socketBufferBytes)
	conn.SetWriteBuffer(socketBufferBytes)
	if size := receiveBuffer(conn); size > 0 && size < socketBufferBytes {
		l.log.Warn("small UDP receive buffer: raise net.core.rmem_max and net.core.wmem_max",
			"bytes", size, "wanted", socketBufferBytes)
	}
}
