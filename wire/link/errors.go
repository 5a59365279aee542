package link

import (
	"errors"

	"github.com/quic-go/quic-go"
	"github.com/staffetta/staffetta/wire"
)

func errStopping() *wire.Error { return wire.Errorf(wire.Unavailable, "this process is stopping") }

// errDial is the error of a dial: nothing was sent. A peer that is not whom we want is
// Unavailable like one that is not there; only another federation is told apart.
func errDial(key peerKey, err error) *wire.Error {
	var refusal *wire.Error
	switch {
	case errors.As(err, &refusal) && refusal.Code == wire.WrongFederation:
		return wire.Errorf(wire.WrongFederation, "%s: %s", key, refusal.Detail)
	case errors.As(err, &refusal):
		return wire.Errorf(wire.Unavailable, "%s: %s", key, refusal.Detail)
	case refusedByPeer(err):
		return wire.Errorf(wire.Unavailable, "%s refuses this process's certificate: %s", key, err)
	}
	return wire.Errorf(wire.Unavailable, "no connection to %s: %s", key, err)
}

// errLost is the error of a call that needs a connection that broke before anything was sent.
func errLost(c *outConn, err error) *wire.Error {
	if refusedByPeer(err) {
		return errDial(c.key, err)
	}
	return wire.Errorf(wire.Unavailable, "connection to %s lost: %s", c.key, err)
}

// errSent is the error of a call that broke after some of it was sent. A peer that refused the
// handshake has never looked at it.
func errSent(c *outConn, err error) *wire.Error {
	if refusedByPeer(err) && !c.proven.Load() {
		return errDial(c.key, err)
	}
	return wire.Errorf(wire.OutcomeUnknown, "no answer from %s: %s", c.key, err)
}

// saysRevoked reports whether the peer closed the connection because our certificate is revoked.
func saysRevoked(err error) bool {
	var closed *quic.ApplicationError
	return errors.As(err, &closed) && closed.Remote && closed.ErrorCode == closeRevoked
}

// refusedByPeer reports whether the peer ended the handshake. In TLS 1.3 the dialler learns it
// only after its own part is complete, so it may meet a call's first read or write.
func refusedByPeer(err error) bool {
	var transport *quic.TransportError
	return errors.As(err, &transport) && transport.Remote && transport.ErrorCode.IsCryptoError()
}
