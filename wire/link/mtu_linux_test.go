package link

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/staffetta/staffetta/internal/ca"
	"github.com/staffetta/staffetta/wire"
)

// TestNarrowNetwork is TestNarrowPath over the operating system: two machines of MTU 1,500 with a
// switch between them that drops what is larger than its own and tells nobody. What packets the
// path carries is found, both ways, and used.
func TestNarrowNetwork(t *testing.T) {
	authority, err := ca.New(testFederation, 30*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, mtu := range []int{1500, 1300, 1280, packetBytesMin + headersV4} {
		t.Run(fmt.Sprint(mtu), func(t *testing.T) {
			ends := switched(t, mtu)
			a := real(t, authority, idLazio1, ends[0], nil)
			b := real(t, authority, idLazio2, ends[1], knows(a))
			mustEcho(t, b, Peer{Node: "lazio-1"})
			block := make([]byte, wire.BlockBytesMax)
			rand.Read(block)
			got, err := b.Call(within(t, 30*time.Second), Peer{Node: "lazio-1"}, methodEcho, block)
			if err != nil || len(got) != len(block) {
				t.Errorf("a block: %d bytes, %v", len(got), err)
			}
			// A switch lets four bytes more through, for a tag, and discovery ends 20 bytes off. It
			// takes packets that a busy machine is late with for lost, so that one search may find
			// less; never more.
			least, most := min(mtu-headersV4, 1452)-20, min(mtu+4-headersV4, 1452)
			found := 0
			for range 10 {
				p, err := b.Probe(within(t, 10*time.Second), "lazio-1", methodEcho, nil, 3)
				if err != nil {
					t.Fatal(err)
				}
				if found = max(found, p.PacketBytes); found >= least {
					break
				}
			}
			if found < least || found > most {
				t.Errorf("the path carries packets of %d bytes, want about %d", found,
					mtu-headersV4)
			}
		})
	}
}

// switched makes two network namespaces with a switch of an MTU between them, and a socket in each.
func switched(t *testing.T, mtu int) (ends []net.PacketConn) {
	t.Helper()
	ip := func(args string) error {
		out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
		return nil
	}
	name := func(s string) string { return fmt.Sprintf("staffetta-%d-%s", os.Getpid(), s) }
	between := name("switch")
	for _, ns := range []string{between, name("1"), name("2")} {
		if err := ip("netns add " + ns); err != nil {
			t.Skipf("no network can be made here, so this is not tested: %v", err)
		}
		t.Cleanup(func() {
			if err := ip("netns del " + ns); err != nil {
				t.Error(err)
			}
		})
	}
	must := func(args string) {
		t.Helper()
		if err := ip(args); err != nil {
			t.Fatal(err)
		}
	}
	must("-n " + between + " link add bridge type bridge")
	must("-n " + between + " link set bridge up")
	for _, end := range []string{"1", "2"} {
		ns := name(end)
		must("-n " + between + " link add port" + end + " type veth peer name eth netns " + ns)
		must(fmt.Sprintf("-n %s link set port%s mtu %d master bridge up", between, end, mtu))
		must("-n " + ns + " address add 10.99.0." + end + "/24 dev eth")
		must("-n " + ns + " link set eth up")
		conn := listenIn(t, ns, "10.99.0."+end+":0")
		t.Cleanup(func() { conn.Close() })
		ends = append(ends, conn)
	}
	return ends
}

// listenIn opens a UDP socket in a network namespace.
func listenIn(t *testing.T, ns, addr string) net.PacketConn {
	t.Helper()
	type opened struct {
		conn net.PacketConn
		err  error
	}
	done := make(chan opened)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		fd, err := unix.Open("/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			defer unix.Close(fd)
			err = unix.Setns(fd, unix.CLONE_NEWNET)
		}
		var o opened
		if o.err = err; err == nil {
			o.conn, o.err = net.ListenPacket("udp4", addr)
		}
		done <- o
	}()
	o := <-done
	if o.err != nil {
		t.Fatal(o.err)
	}
	return o.conn
}

// real starts a member on a socket of the operating system.
func real(t *testing.T, authority *ca.CA, id string, conn net.PacketConn,
	setup func(*Config)) *member {
	t.Helper()
	m := &member{addr: conn.LocalAddr().String(), reg: prometheus.NewRegistry()}
	cfg := Config{Federation: testFederation, PacketConn: conn, Authorities: authority.Authorities,
		Certificate: always(issue(t, authority, id, 24*time.Hour)), Listen: true,
		Addr: func(wire.NodeID) (string, bool) { return "", false }, Registerer: m.reg}
	if setup != nil {
		setup(&cfg)
	}
	m.start(t, cfg, registerTestMethods, func() {})
	return m
}
