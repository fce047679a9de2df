package node

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// hurt is something done to a file.
type hurt struct {
	what string
	do   func(path string) error
}

func cutTo(size int64) hurt {
	return hurt{fmt.Sprintf("cut to %d bytes", size), func(path string) error { return os.Truncate(path, size) }}
}

func flip(at int64, bit int) hurt {
	return hurt{fmt.Sprintf("bit %d of byte %d", bit, at), func(path string) error { return FlipBit(path, at, bit) }}
}

// hurts are what is done to a file: it is removed and cut, and some flips of one
// bit, in small files one in each byte.
func (k FolderFile) hurts(rnd *rand.Rand, flips int) []hurt {
	out := []hurt{{"removed", os.Remove}}
	for _, size := range []int64{0, 1, k.Size / 2, int64(len(k.Data)) / 2, int64(len(k.Data)) - 1, k.Size - 4096, k.Size - 1} {
		if size >= 0 && size < k.Size {
			out = append(out, cutTo(size))
		}
	}
	if len(k.Data) <= flips {
		for at := range k.Data {
			out = append(out, flip(int64(at), rnd.IntN(8)))
		}
		return out
	}
	for range flips {
		out = append(out, flip(rnd.Int64N(int64(len(k.Data))), rnd.IntN(8)))
	}
	for at := int64(0); at < 96 && at+4096 < int64(len(k.Data)); at += 2 { // bbolt's meta pages
		out = append(out, flip(at, rnd.IntN(8)), flip(at+4096, rnd.IntN(8)))
	}
	for _, key := range []string{keyTerm, keyVote} { // few bytes of many
		for at := 0; at < len(k.Data); at++ {
			if next := bytes.Index(k.Data[at:], []byte(key)); next < 0 {
				break
			} else {
				at += next
			}
			out = append(out, flip(int64(at+rnd.IntN(len(key)+12)), rnd.IntN(8)))
		}
	}
	return out
}

// stored is all that raft finds in its stores.
type stored struct {
	logs  []raft.Log
	term  uint64
	voted string
}

// store writes a log as a node does that compacts, meets conflicts and votes.
func store(t *testing.T, kind LogStore, dir *dataDir) {
	t.Helper()
	s, err := openTestStore(kind, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rnd := rand.New(rand.NewPCG(1, 2))
	add := func(from, to, term uint64) {
		for from <= to {
			var batch []*raft.Log
			for range 1 + rnd.IntN(5) {
				if from <= to {
					data := bytes.Repeat([]byte{byte(from)}, rnd.IntN(2000))
					batch = append(batch, &raft.Log{Index: from, Term: term, Data: data, AppendedAt: time.Unix(1, 0)})
					from++
				}
			}
			if err := s.StoreLogs(batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(1, 150, 1)
	err = errors.Join(s.DeleteRange(1, 40), s.DeleteRange(141, 150))
	add(141, 160, 7)
	raftSees := &stableStore{logStore: s} // the vote comes last: nothing else tells that it is there
	if err := errors.Join(err, raftSees.SetUint64([]byte(keyTerm), 7), raftSees.SetUint64([]byte(keyVoteTerm), 7),
		raftSees.Set([]byte(keyVoteCandidate), []byte("n2"))); err != nil {
		t.Fatal(err)
	}
}

func openTestStore(kind LogStore, dir *dataDir) (*logStore, error) {
	return openLogStore(kind, dir, 1<<20, newDiskWatch(time.Minute, nil), hclog.NewNullLogger(), func(error) {})
}

// load reads the stores as a node does that starts with a snapshot of entry 50.
func load(kind LogStore, dir *dataDir) (out stored, err error) {
	s, err := openTestStore(kind, dir)
	if err != nil {
		return out, err
	}
	defer s.Close()
	if err := s.check(50); err != nil {
		return out, err
	}
	raftSees := &stableStore{logStore: s}
	term, err1 := raftSees.GetUint64([]byte(keyTerm))
	voteTerm, err2 := raftSees.GetUint64([]byte(keyVoteTerm))
	vote, err3 := raftSees.Get([]byte(keyVoteCandidate))
	out.term, out.voted = term, fmt.Sprint(string(vote), " in ", voteTerm)
	first, err4 := s.FirstIndex()
	last, err5 := s.LastIndex()
	for i := max(first, 51); i <= last; i++ { // what the snapshot stands for may be gone
		var l raft.Log
		err = errors.Join(err, s.GetLog(i, &l))
		l.AppendedAt = time.Time{} // only for people
		out.logs = append(out.logs, l)
	}
	return out, errors.Join(err, err1, err2, err3, err4, err5)
}

func (s stored) equal(o stored) bool {
	return s.term == o.term && s.voted == o.voted && slices.EqualFunc(s.logs, o.logs, func(a, b raft.Log) bool {
		return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && bytes.Equal(a.Data, b.Data) && len(a.Extensions) == len(b.Extensions)
	})
}

// Whatever happens to a file of a stopped node's log, the node finds in it what it
// has written, or refuses it by name: never less, never something else.
func TestDamagedLogIsRefusedOrWhole(t *testing.T) {
	t.Parallel()
	for _, kind := range []LogStore{LogStoreBolt, LogStoreWAL} {
		dir := &dataDir{path: t.TempDir()}
		store(t, kind, dir)
		files := ReadFolder(t, dir.path)
		dir.id.Joined = true
		want, err := load(kind, dir)
		if err != nil || len(want.logs) != 110 || want.term != 7 || want.voted != "n2 in 7" {
			t.Fatalf("%d entries, term %d, vote %s: %v", len(want.logs), want.term, want.voted, err)
		}
		for name, file := range files {
			t.Run(fmt.Sprint(kind, " ", name), func(t *testing.T) {
				t.Parallel()
				rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
				refused := 0
				hurts := file.hurts(rnd, 300)
				for _, h := range hurts {
					dir := &dataDir{path: t.TempDir(), id: identity{Joined: true}}
					files.Write(t, dir.path)
					path := filepath.Join(dir.path, name)
					if err := h.do(path); err != nil {
						t.Fatal(err)
					}
					switch got, err := load(kind, dir); {
					case err != nil:
						refused++
						named := strings.Contains(err.Error(), path) ||
							(strings.HasSuffix(path, ".wal") && strings.Contains(err.Error(), filepath.Dir(path)+": "))
						if !errors.Is(err, ErrDamaged) || !named {
							t.Errorf("%s: refused with %v", h.what, err)
						}
					case !got.equal(want):
						t.Errorf("%s: it has other entries or votes: %d entries, term %d, vote %s", h.what, len(got.logs), got.term, got.voted)
					}
					if err := os.RemoveAll(dir.path); err != nil {
						t.Fatal(err)
					}
				}
				t.Logf("%d of %d refused", refused, len(hurts))
			})
		}
	}
}
