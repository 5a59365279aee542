package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// The ports that processes listen on lie below those that operating systems give to outgoing
// connections. A process that is started again takes the port it had, also years later; one of
// the others' range could meanwhile belong to a connection for as long as that lasts.
const (
	portMin = 10_000
	portMax = 32_000
	// portTries bounds the search; one try fails where something listens.
	portTries = 1000
)

var errNoPort = errors.New("no free port found")

// freePorts finds n UDP ports that are free now.
func freePorts(n int) (ports []int, err error) {
	for range portTries {
		if len(ports) == n {
			return ports, nil
		}
		port := portMin + rand.IntN(portMax-portMin)
		conn, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer conn.Close() // after all are chosen, so that they differ
		ports = append(ports, port)
	}
	return nil, errNoPort
}

// freeAddrs finds n TCP addresses that are free now.
func freeAddrs(n int) (addrs []string, err error) {
	for range portTries {
		if len(addrs) == n {
			return addrs, nil
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d",
			portMin+rand.IntN(portMax-portMin)))
		if err != nil {
			continue
		}
		defer ln.Close()
		addrs = append(addrs, ln.Addr().String())
	}
	return nil, errNoPort
}

// FreeAddr finds one TCP address that is free now.
func FreeAddr() (string, error) {
	addrs, err := freeAddrs(1)
	if err != nil {
		return "", err
	}
	return addrs[0], nil
}
