package wire

import "time"

// The bounds of the wire. Whoever reads from outside checks them before it allocates; the
// behaviour at each bound is an Error with code TooLarge or Malformed, unless it says otherwise.
const (
	// BlockRecordsMax closes a block. 128 records have most of the compression ratio there is
	// (4.4 of 4.4 against blocks of 512) and keep a random read at one decode of 0.3 MB.
	BlockRecordsMax = 128
	// BlockCloseBytes of records close a block: about 64 KiB compressed, at the four to one that
	// texts give. With the last record on top it stays under BlockBytesMax even when nothing
	// compresses.
	BlockCloseBytes = 256 << 10
	// BlockBytesMax is the hard cap of a block's frame. It bounds what a leader holds in flight,
	// and stays far below the 64 MiB at which raft-wal accepts an entry that it cannot read.
	BlockBytesMax = 1 << 20
	// BlockDecodedMax is the hard cap of a block's decoded size, checked before decoding.
	BlockDecodedMax = 4 << 20
	// RecordBytesMax bounds one encoded record: the largest message of the contract is some
	// 45 KB (10,000 UTF-16 units of markdown), third-party data included.
	RecordBytesMax = 256 << 10
	// EntryBytesMax bounds a Raft log entry: a block and its envelope, or a batch of commands.
	EntryBytesMax = BlockBytesMax + 64<<10
	// CommandsMax bounds the commands of one entry, CommandBytesMax each of them (a rewritten
	// block is the largest).
	CommandsMax     = 512
	CommandBytesMax = BlockBytesMax + 4<<10
	// FrameBytesMax bounds one request or answer of the relay protocol.
	FrameBytesMax = 2 << 20
	// ResolveMax bounds the recipients of one resolve call.
	ResolveMax = 1024
	// FeedEventsMax bounds the events of one feed frame.
	FeedEventsMax = 1024
	// PageMax bounds an inbox page, as the contract does.
	PageMax = 100
	// NameBytesMax bounds names of regions, nodes and gateways.
	NameBytesMax = 32
	// ServiceIDBytesMax bounds a service id; the contract's are 26 characters.
	ServiceIDBytesMax = 64
	// DetailBytesMax bounds the detail of an Error; longer ones are cut.
	DetailBytesMax = 1024
	// RegionsMax, NodesMax and GatewaysMax bound the map; Italy has 21 regions.
	RegionsMax  = 256
	NodesMax    = 2048
	GatewaysMax = 2048
	// ListMax bounds the recipients and address ranges of a service.
	ListMax = 1024
)

const (
	// SkewMax is how far an id's time may be from the log's at admission.
	SkewMax = 5 * time.Minute
	// ClockSkewMax is how far a leader's clock may be from its majority's.
	ClockSkewMax = 2 * time.Second
	// TimeStepMax is how far the time of a group's entries moves on its state's time beyond the
	// last one that a majority confirmed: as far as one leader with a wrong clock can move it.
	TimeStepMax = time.Minute
	// TimeBackMin is how far a state's time has to be ahead of a confirmed one to be set back:
	// less is the difference between two leaders and the entries on their way.
	TimeBackMin = 10 * time.Second
	// ExpiryStepMax is how far one entry may advance expiry.
	ExpiryStepMax = time.Hour
	// OwnerWait is how long a submission waits for its owner region before 503.
	OwnerWait = 5 * time.Second
)
