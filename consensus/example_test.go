package consensus

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/staffetta/staffetta/wire"
)

// A group of one voter, in memory. Propose answers once the entry is on the disks of a majority and
// applied here; after Read, the state holds everything that was acknowledged before.
func ExampleGroup() {
	state := newMemState() // a StateMachine
	g, err := Open(Config{Group: "region/lazio", Self: "lazio-1", Stores: NewMemoryStores(),
		Bootstrap: []Member{{Node: "lazio-1", Voter: true}}, State: state,
		Transport: newFakeNet(0).listen("lazio-1"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()

	changes, unwatch := g.Watch()
	for l := range changes {
		if l.Self {
			break
		}
	}
	unwatch()
	index, err := g.Propose(ctx, wire.EncodeEntry(wire.CommandsEntry, 1, []byte("first")))
	fmt.Println("acknowledged:", index != nil, err)
	fmt.Println("read:", g.Read(ctx))
	fmt.Println("applied:", len(state.now.Commands) > 0)
	stop()
	fmt.Println("ended:", <-ended)
	// Output:
	// acknowledged: true <nil>
	// read: <nil>
	// applied: true
	// ended: <nil>
}
