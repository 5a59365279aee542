package link

import "time"

// The bounds of a link. Frames are bounded by wire.FrameBytesMax.
const (
	// callStreamsMax bounds the calls in progress on one connection. A stream counts until its
	// answer was written, which is after its handler has returned, whatever the caller did: so
	// QUIC itself makes the caller wait at the bound.
	callStreamsMax = 1024
	// requestBytesMax bounds the requests in memory of all callers together; at the bound the
	// answer is Overloaded. 128 MiB are some 2,000 full blocks.
	requestBytesMax = 128 << 20
	// connsPerPeerMax bounds the connections that one identity holds open per protocol. Several
	// are legitimate while a restarted peer's old ones have not timed out; at the bound the
	// oldest is closed.
	connsPerPeerMax = 8
	// raftAcceptMax bounds the streams that wait for a Raft group to accept them; at the bound
	// they are refused, and Raft dials again.
	raftAcceptMax = 64
	// groupBytesMax bounds a group's name: "region/" and a region's name.
	groupBytesMax = 64
	// errorBytesMax bounds an encoded wire.Error: its detail and its names.
	errorBytesMax = 4 << 10
	// authorityFileMax bounds a file of authorities, far above all that Italy has.
	authorityFileMax = 1 << 20
	// bufferKeepMax is the largest write buffer that is kept for the next call.
	bufferKeepMax = 256 << 10
	// idlePeersMax bounds what is remembered of peers without a connection (their back-off).
	idlePeersMax = 1024
	// handshakesPerSecond is the rate above which a new peer must first prove its address, at
	// the price of a round trip; handshakeBurst is a whole federation starting at once.
	handshakesPerSecond = 64
	handshakeBurst      = 256
	// refusalLogsPerSecond bounds what strangers can make a node log.
	refusalLogsPerSecond = 1
)

// Flow-control windows: how much a peer may send that was not read. The raft connection carries
// few large streams; a listener, which does not know the protocol beforehand, grants the larger.
const (
	raftStreamWindow, raftStreamWindowMax   = 4 << 20, 16 << 20
	raftConnWindow, raftConnWindowMax       = 16 << 20, 32 << 20
	relayStreamWindow, relayStreamWindowMax = 4 << 20, 32 << 20
	relayConnWindow, relayConnWindowMax     = 16 << 20, 64 << 20
)

// Raft's streams share a connection. One on which so much was written without an answer carries
// a snapshot, and yields to heartbeats and appends; more than any batch of entries.
const (
	bulkAfterBytes = 16 << 20
	urgencyRaft    = 2
	urgencyBulk    = 6
)

// packetBytesMin is the size of the packets that a connection begins with, the least that QUIC
// allows. Larger ones are tried when it stands, so that a path that carries no more, and does not
// say so, is a slow path and not a lost one: with the library's 1,280 bytes any tunnel of less than
// 1,308 without ICMP took its region away.
const packetBytesMin = 1200

// The bounds of waiting.
const (
	// headerWait is how long a stream may stay silent before its header is complete.
	headerWait = 5 * time.Second
	// requestWait is how long a request may take to arrive, and frameWait an answer to leave.
	requestWait = 30 * time.Second
	frameWait   = 30 * time.Second
	// handshakeIdle ends a handshake that hears nothing; the whole of it ends after twice this.
	handshakeIdle = 3 * time.Second
	// dialIdle is the same for who dials. QUIC sends again after ever longer pauses: a dial that
	// began while the peer was away would notice its return late, and a new one notices at once.
	dialIdle = 1500 * time.Millisecond
	// keepAlive and idleMax find out that a peer is gone. Values of idleMax below five seconds
	// are not honoured by the other side.
	keepAlive = time.Second
	idleMax   = 5 * time.Second
	// dialWait bounds a dial, look-up of the name included.
	dialWait = 2*dialIdle + 2*time.Second
	// backoffMin doubles up to backoffMax while dials of a peer fail, each with jitter.
	backoffMin = 50 * time.Millisecond
	backoffMax = 500 * time.Millisecond
	// connAgeDefault is the age at which a connection is replaced, so that a certificate that
	// was withdrawn ends; ageGrace is what its last calls get to finish.
	connAgeDefault = 12 * time.Hour
	ageGrace       = 30 * time.Second
	// connIdleMax is how long a connection may lie without a call or stream before who dialled it
	// closes it. Each is kept alive every second; a new one costs a handshake.
	connIdleMax = time.Minute
	// refusalKeep is how long it is told that a peer refused this process's certificate: one that
	// is needed is dialled more often.
	refusalKeep = time.Minute
	// reviewPeriod is how often the certificate's files and the time that is left are looked at.
	reviewPeriod = 10 * time.Second
)
