package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// halfVote fails one of the writes of a vote, as a disk that gets full.
type halfVote struct {
	disk
	armed int // how many more writes of a vote succeed, less one; 0: all
}

func (h *halfVote) half() error {
	if h.armed > 0 {
		if h.armed--; h.armed == 0 {
			h.armed = 1
			return errors.New("no space left on device")
		}
	}
	return nil
}

func (h *halfVote) Set(k, v []byte) error {
	if bytes.Contains(k, []byte("ote")) {
		if err := h.half(); err != nil {
			return err
		}
	}
	return h.disk.Set(k, v)
}

func (h *halfVote) SetUint64(k []byte, v uint64) error {
	if bytes.Contains(k, []byte("ote")) {
		if err := h.half(); err != nil {
			return err
		}
	}
	return h.disk.SetUint64(k, v)
}

func TestHalfAVoteIsNoVoteForSomebodyElse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind  LogStore
		fails int // which write of a vote, from 1
	}{{LogStoreBolt, 1}, {LogStoreBolt, 2}, {LogStoreWAL, 1}, {LogStoreWAL, 2}} {
		kind := c.kind
		t.Run(fmt.Sprint(kind, c.fails), func(t *testing.T) {
			t.Parallel()
			dir := &dataDir{path: t.TempDir()}
			path := dir.file(logNames[kind])
			d, err := openChecked(kind, dir, func(path string) (logDisk, error) { return openDisk(kind, path, newRaftLog(zap.NewNop())) })
			if err != nil {
				t.Fatal(err)
			}
			h := &halfVote{disk: d}
			store := func() *logStore {
				return &logStore{disk: h, path: path, watch: newDiskWatch(time.Minute, func(time.Duration, string) {}), fatal: func(error) {}, cache: logCache{max: 1 << 20}}
			}
			s := store()
			snaps := raft.NewInmemSnapshotStore()
			cfg := raft.DefaultConfig()
			cfg.LocalID = "c"
			cfg.Logger = newRaftLog(zap.NewNop())
			cfg.HeartbeatTimeout, cfg.ElectionTimeout = time.Hour, time.Hour
			servers := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a"}, {ID: "b", Address: "b"}, {ID: "c", Address: "c"}}}
			_, tr := raft.NewInmemTransport("c")
			if err := raft.BootstrapCluster(cfg, s, s, snaps, tr, servers); err != nil {
				t.Fatal(err)
			}
			// An acknowledged entry that a and c have and b does not.
			if err := s.StoreLog(&raft.Log{Index: 2, Term: 1, Type: raft.LogNoop}); err != nil {
				t.Fatal(err)
			}
			ask := func(tr *raft.InmemTransport, from raft.ServerAddress, term, index uint64) (bool, bool) {
				_, me := raft.NewInmemTransport(from)
				me.Connect("c", tr)
				var resp raft.RequestVoteResponse
				err := me.RequestVote("c", "c", &raft.RequestVoteRequest{
					RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte(from), Addr: []byte(from)},
					Term:      term, LastLogIndex: index, LastLogTerm: 1,
				}, &resp)
				return resp.Granted, err == nil
			}
			run := func(s *logStore, f func(tr *raft.InmemTransport)) {
				_, tr := raft.NewInmemTransport("c")
				var r *raft.Raft
				var err error
				var wg sync.WaitGroup
				wg.Go(func() { r, err = raft.NewRaft(cfg, nullFSM{}, s, &stableStore{logStore: s}, snaps, tr) })
				wg.Wait()
				if err != nil {
					t.Fatal(err)
				}
				f(tr)
				r.Shutdown().Error()
			}
			run(s, func(tr *raft.InmemTransport) {
				if ok, _ := ask(tr, "b", 2, 2); !ok {
					t.Fatal("b gets no vote in term 2")
				}
			})
			h.armed = c.fails // a asks in term 3
			granted := false
			run(s, func(tr *raft.InmemTransport) { granted, _ = ask(tr, "a", 3, 2) })
			h.armed = 0
			run(store(), func(tr *raft.InmemTransport) { // room was made; b, in term 3, lacks entry 2
				if ok, _ := ask(tr, "b", 3, 1); ok {
					t.Error("b, whose log lacks an entry that is on a majority, was given the vote")
				}
				if ok, _ := ask(tr, "a", 3, 2); granted && !ok {
					t.Error("a does not get again what it was given before")
				}
			})
		})
	}
}

type nullFSM struct{}

func (nullFSM) Apply(*raft.Log) any                 { return nil }
func (nullFSM) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("none") }
func (nullFSM) Restore(io.ReadCloser) error         { return nil }
