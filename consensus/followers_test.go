package consensus

import (
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestFollowers(t *testing.T) {
	now := time.Unix(1_795_363_200, 0)
	clock := func() time.Time { return now }
	uptime := func() time.Duration { return now.Sub(time.Unix(1_795_363_000, 0)) }
	p := newPeers("lazio-1", clock, uptime, clock)
	members := []Member{{Node: "lazio-3", Voter: true}, {Node: "lazio-1", Voter: true},
		{Node: "lazio-2"}}
	p.answered("lazio-3", &raft.AppendEntriesRequest{Term: 4, PrevLogEntry: 7},
		&raft.AppendEntriesResponse{RPCHeader: raft.RPCHeader{
			Addr: encodeClock("lazio-3", now.Add(-3*time.Second))}, Term: 4, Success: true}, 1, uptime())
	now = now.Add(time.Second)
	want := []Follower{{Member: Member{Node: "lazio-2"}, Contact: -1},
		{Member: Member{Node: "lazio-3", Voter: true}, Match: 7, Contact: time.Second,
			Skew: -3 * time.Second}}
	if got := p.followers(members, 4); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	want[1] = Follower{Member: want[1].Member, Contact: -1}
	if got := p.followers(members, 5); !reflect.DeepEqual(got, want) {
		t.Errorf("in another term: got %+v, want %+v", got, want)
	}
}
