package link

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staffetta/staffetta/wire"
)

// headersV4 are the bytes of a UDP packet's headers on IPv4.
const headersV4 = 20 + 8

// TestNarrowPath connects over a path that loses larger packets and tells nobody. QUIC needs 1,200
// bytes, and nothing more.
func TestNarrowPath(t *testing.T) {
	for _, mtu := range []int{1300, 1280, packetBytesMin + headersV4} {
		t.Run(fmt.Sprint(mtu), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.router.mtu = mtu
				a := w.join(idLazio1, 1, nil)
				b := w.join(idLazio2, 2, knows(a))
				mustEcho(t, b, Peer{Node: "lazio-1"})
				block := make([]byte, wire.BlockBytesMax) // many packets, both ways
				got, err := b.Call(within(t, 30*time.Second), Peer{Node: "lazio-1"}, methodEcho,
					block)
				if err != nil || len(got) != len(block) {
					t.Errorf("a block: %d bytes, %v", len(got), err)
				}
			})
		})
	}
	t.Run("too narrow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.router.mtu = packetBytesMin + headersV4 - 1
			a := w.join(idLazio1, 1, nil)
			b := w.join(idLazio2, 2, knows(a))
			_, err := b.Call(within(t, 10*time.Second), Peer{Node: "lazio-1"}, methodEcho, nil)
			wantCode(t, err, wire.Unavailable)
		})
	})
}
