package node

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

func three(learners ...string) []healthcheck.Member {
	var out []healthcheck.Member
	for _, id := range []string{"n1", "n2", "n3"} {
		out = append(out, healthcheck.Member{ID: id, Raft: id + ":1", Voter: true})
	}
	for _, id := range learners {
		out = append(out, healthcheck.Member{ID: id, Raft: id + ":1"})
	}
	return out
}

func TestMayRemove(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		id      string
		members []healthcheck.Member
		want    error
	}{
		{"a follower", "n2", three(), nil},
		{"a learner", "n4", three("n4"), nil},
		{"the leader", "n1", three(), ErrLeads},
		{"nobody", "n9", three(), ErrNotMember},
		{"the last voter", "n1", three("n4")[:1], ErrLastVoter},
		{"the last voter beside a learner", "n1", append(three()[:1:1], healthcheck.Member{ID: "n4"}), ErrLastVoter},
	} {
		if err := mayRemove(c.id, "n1", c.members); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestMayLose(t *testing.T) {
	t.Parallel()
	down := func(ids ...string) map[string]string {
		out := make(map[string]string)
		for _, id := range ids {
			out[id] = "no answer from " + id
		}
		return out
	}
	five := append(three(), healthcheck.Member{ID: "n4", Voter: true}, healthcheck.Member{ID: "n5", Voter: true})
	for _, c := range []struct {
		name    string
		id      string
		members []healthcheck.Member
		silent  map[string]string
		refused bool
	}{
		{"one of three, both others run", "n2", three(), nil, false},
		{"one of three, itself down", "n2", three(), down("n2"), false},
		{"one of three, another down", "n2", three(), down("n3"), true},
		{"one of five, another down", "n2", five, down("n3"), false},
		{"one of five, two others down", "n2", five, down("n3", "n4"), true},
		{"one of five, it and another down", "n2", five, down("n2", "n3"), false},
		{"one of two", "n2", three()[:2], down("n2"), false},
		{"a learner, one voter of three down", "n4", three("n4"), down("n3"), false},
		{"a learner, two voters of three down", "n4", three("n4"), down("n2", "n3"), true},
	} {
		err := mayLose(c.id, c.members, c.silent)
		if errors.Is(err, ErrNoMajority) != c.refused {
			t.Errorf("%s: %v", c.name, err)
		}
		for id, why := range c.silent {
			if err != nil && id != c.id && !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %v does not name %s", c.name, err, id)
			}
		}
	}
}

func TestMayAdd(t *testing.T) {
	t.Parallel()
	n4 := Member{ID: "n4", Raft: "n4:1", HTTP: "n4:2", Health: "n4:3"}
	for _, c := range []struct {
		name    string
		asked   Member
		named   Member
		members []healthcheck.Member
		already bool
		want    error
	}{
		{"a new one", n4, n4, three(), false, nil},
		{"by its id alone", Member{ID: "n4"}, n4, three(), false, nil},
		{"a learner", n4, n4, three("n4"), true, nil},
		{"a voter", Member{ID: "n2"}, Member{ID: "n2", Raft: "n2:1"}, three(), false, ErrIsVoter},
		{"with another raft address", Member{ID: "n4", Raft: "elsewhere:1"}, n4, three(), false, ErrOtherAddresses},
		{"a learner with another health address", Member{ID: "n4", Health: "elsewhere:1"}, n4, three("n4"), false, ErrOtherAddresses},
		{"at the address of another", Member{ID: "n4"}, Member{ID: "n4", Raft: "n2:1"}, three(), false, ErrOtherAddresses},
		{"one that no setting names", n4, Member{ID: "n4"}, three(), false, ErrNotNamed},
	} {
		already, err := mayAdd(c.asked, c.named, c.members)
		if already != c.already || !errors.Is(err, c.want) {
			t.Errorf("%s: %t, %v, want %t, %v", c.name, already, err, c.already, c.want)
		}
	}
}

// Nodes are lost, removed and joined again one after the other, any number of times,
// a minority at a time. None that is empty is ever taken for new, though in the end
// nobody is left that saw the start. With nodes that write others down after they
// have joined again it fails.
func TestAdmissionNeverForgetsWhereNodesRejoin(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		nodes := make([]*simulated, 3+2*rnd.IntN(4))
		for i := range nodes {
			nodes[i] = new(simulated)
			nodes[i].wipe(fmt.Sprint(i, " first"))
		}
		wipes, haste := len(nodes)/2, 1+rnd.IntN(20)
		for step := range 100 + rnd.IntN(400) {
			i := rnd.IntN(len(nodes))
			n := nodes[i]
			switch leader := nodes[rnd.IntN(len(nodes))]; {
			case n.joined && wipes > 0 && rnd.IntN(4) == 0:
				wipes--
				n.wipe(fmt.Sprint(i, " after step ", step))
			case n.joined:
			case n.took && leader.joined && rnd.IntN(haste) == 0:
				wipes++
				maps.Copy(n.records, leader.records)
				n.joined, n.closed = true, true
			case attempt(rnd, nodes, i, 0.5) == admissionStart:
				if n.took {
					t.Fatalf("seed %d: node %d of %d was wiped and let in again as new", seed, i, len(nodes))
				}
				n.joined, n.took = true, true
			}
		}
	}
}

// A directory that has joined in a term votes for nobody in it and before it,
// whoever asks, and votes after it.
func TestNewDirectoryAbstainsUpToItsTerm(t *testing.T) {
	t.Parallel()
	for _, kind := range []LogStore{LogStoreBolt, LogStoreWAL} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s, err := openTestStore(kind, &dataDir{path: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := abstain(s, 7); err != nil {
				t.Fatal(err)
			}
			cfg := raft.DefaultConfig()
			cfg.LocalID, cfg.Logger = "n2", newRaftLog(zap.NewNop())
			cfg.HeartbeatTimeout, cfg.ElectionTimeout = time.Hour, time.Hour
			_, tr := raft.NewInmemTransport("n2")
			var r *raft.Raft
			var wg sync.WaitGroup
			wg.Go(func() {
				r, err = raft.NewRaft(cfg, nullFSM{}, s, &stableStore{logStore: s}, raft.NewInmemSnapshotStore(), tr)
			})
			wg.Wait()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Shutdown()
			for term := range uint64(8) {
				if asked(t, tr, "n1", term) {
					t.Errorf("a vote in term %d", term)
				}
			}
			if !asked(t, tr, "n1", 8) {
				t.Error("no vote in term 8")
			}
		})
	}
}

// asked asks the node n2 for its vote, for a log that is longer than its own.
func asked(t *testing.T, n2 *raft.InmemTransport, from raft.ServerAddress, term uint64) (granted bool) {
	t.Helper()
	_, me := raft.NewInmemTransport(from)
	me.Connect("n2", n2)
	var resp raft.RequestVoteResponse
	err := me.RequestVote("n2", "n2", &raft.RequestVoteRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte(from), Addr: []byte(from)},
		Term:      term, LastLogIndex: 100, LastLogTerm: term,
	}, &resp)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Granted
}
