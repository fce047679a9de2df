package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// A node that is started from an older copy of its data directory has forgotten
// what it acknowledged and whom it voted for since the copy was made. Raft has no
// defence: with one more node down, what was acknowledged may be gone, and two leaders
// may be elected in one term. So each directory counts its starts and keeps the names
// of the last of them, every connection to a Raft port says those of its sides, and
// each node writes down the latest start that it has heard of each peer. Who comes with
// an earlier one, or with others than that one behind it, has an older copy: nobody
// talks to it, it notes that for ever in the copy, and ends.
//
// What this does not notice: a copy made while the node ran, put back before the node
// was started again; and a copy put back while all who heard of a later start are
// away. Whole clusters that are put back from copies of the same time are as good as
// the copies.

// startsFile is the name in a data directory.
const startsFile = "starts.json"

// ErrOlderCopy ends a node whose data directory has been started since it was copied.
var ErrOlderCopy = errors.New("the data directory is an older copy")

// keptRuns is how many starts a directory knows by name. A peer that was away for more
// takes the newest for granted.
const keptRuns = 16

// start is one run of a node, as its peers know it.
type start struct {
	Number uint64 `json:"number"` // of the directory, from 1
	Run    string `json:"run"`
}

// lineage is what a node says of the starts of its directory.
type lineage struct {
	Incarnation string   `json:"incarnation,omitempty"`
	Start       uint64   `json:"start,omitempty"` // its number, from 1; 0: the peer does not say
	Runs        []string `json:"runs,omitempty"`  // the last starts, this one at the end
}

// follows says whether a start is one of these, or too long ago to tell.
func (l lineage) follows(s start) bool {
	ago := l.Start - s.Number
	return s.Number <= l.Start && (ago >= uint64(len(l.Runs)) || l.Runs[uint64(len(l.Runs))-1-ago] == s.Run)
}

// starts are the runs that a node knows of, on disk.
type starts struct {
	path string

	mu   sync.Mutex
	kept struct {
		Own   uint64                      `json:"own"`
		Runs  []string                    `json:"runs"`
		Peers map[string]map[string]start `json:"peers"`           // by node and incarnation of its directory
		Older string                      `json:"older,omitempty"` // this directory is an older copy: who said so, and why
	}
}

// openStarts reads what is known and counts this start.
func openStarts(path, run string) (*starts, error) {
	s := &starts{path: path}
	if err := readJSON(path, &s.kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if s.kept.Older != "" {
		return nil, fmt.Errorf("%w: %s", ErrOlderCopy, s.kept.Older)
	}
	if s.kept.Peers == nil {
		s.kept.Peers = map[string]map[string]start{}
	}
	s.kept.Own++
	s.kept.Runs = append(s.kept.Runs, run)
	s.kept.Runs = s.kept.Runs[max(0, len(s.kept.Runs)-keptRuns):]
	return s, writeJSON(path, s.kept)
}

// lineage is what this node says of itself.
func (s *starts) lineage(incarnation string) lineage {
	return lineage{incarnation, s.kept.Own, s.kept.Runs}
}

// hear notes a peer's start. It returns an error that wraps ErrOlderCopy where a later
// one is known of the same directory.
func (s *starts) hear(peer string, l lineage) error {
	if l.Start == 0 || len(l.Runs) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known, had := s.kept.Peers[peer][l.Incarnation]
	now := start{l.Start, l.Runs[len(l.Runs)-1]}
	switch {
	case now == known:
		return nil
	case had && !l.follows(known):
		return fmt.Errorf("%w: %s has been started since it was made, and this is start %d of it", ErrOlderCopy, peer, l.Start)
	case s.kept.Peers[peer] == nil:
		s.kept.Peers[peer] = map[string]start{}
	}
	s.kept.Peers[peer][l.Incarnation] = now
	err := writeJSON(s.path, s.kept)
	if err == nil {
		return nil
	}
	if s.kept.Peers[peer][l.Incarnation] = known; !had {
		delete(s.kept.Peers[peer], l.Incarnation)
	}
	return err
}

// condemn notes for ever that this directory is an older copy.
func (s *starts) condemn(why string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept.Older = why
	return writeJSON(s.path, s.kept)
}

// announce tells every peer of this start, some of them perhaps much later, when they
// are back. The first attempt at all of them ends within limit, and first is closed.
func (n *Node) announce(limit time.Duration, first chan<- struct{}) {
	told := map[string]bool{n.cfg.ID: true}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		n.tell(limit, told)
		if first != nil {
			close(first)
			first = nil
		}
		if len(told) == len(n.cfg.InitialCluster) {
			n.log.Info("all peers know of this start", zap.Uint64("start", n.port.self.Start))
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-n.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// tell connects to those who have not been told; a connection tells all there is to.
func (n *Node) tell(limit time.Duration, told map[string]bool) {
	ctx, cancel := context.WithTimeout(n.ctx, limit)
	defer cancel()
	left := slices.DeleteFunc(slices.Clone(n.cfg.InitialCluster), func(m Member) bool { return told[m.ID] })
	var mu sync.Mutex // the goroutines below change told
	var wg sync.WaitGroup
	for _, m := range left {
		wg.Go(func() {
			c, _, err := n.port.connect(ctx, streamCluster, m.ID, m.Raft)
			if err != nil {
				return // it is down, or does not want us, which the port has said
			}
			c.Close()
			mu.Lock()
			defer mu.Unlock()
			told[m.ID] = true
		})
	}
	wg.Wait()
}

// outdated ends a node that a peer has refused, since the peer knows of a later start.
func (n *Node) outdated(peer, says string) {
	why := fmt.Sprintf("%s says of %s: %s. The node does not take part, since it has forgotten what it acknowledged and whom it voted for: "+
		"put the newest copy back, or remove %s from the cluster, empty the directory and join it again as a learner",
		peer, n.dir.path, strings.TrimPrefix(says, ErrOlderCopy.Error()+": "), n.cfg.ID)
	n.fail(errors.Join(fmt.Errorf("%w: %s", ErrOlderCopy, why), n.port.starts.condemn(why)))
}
