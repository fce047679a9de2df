package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// A node that is started from an older copy of its data directory has forgotten
// what it acknowledged and whom it voted for since the copy was made. Raft has no
// defence: with one more node down, what was acknowledged may be gone, and two leaders
// may be elected in one term. So each directory counts its starts, every connection
// to a Raft port says which start its sides are, and each node writes down the latest
// that it has heard of each peer. One that comes with an earlier number, or with the
// same number and another run, is an older copy: nobody talks to it, and it ends.
//
// What this does not notice: a copy made while the node ran, put back before the node
// was started again; and a copy put back while all who heard of a later start are
// away. Whole clusters that are put back from copies of the same time are as good as
// the copies.

// startsFile is the name in a data directory.
const startsFile = "starts.json"

// ErrOlderCopy ends a node whose data directory has been started since it was copied.
var ErrOlderCopy = errors.New("the data directory is an older copy")

// start is one run of a node, as its peers know it.
type start struct {
	Number uint64 `json:"number"` // of the directory, from 1; 0: the peer does not say
	Run    string `json:"run"`
}

// starts are the runs that a node knows of, on disk.
type starts struct {
	path string

	mu   sync.Mutex
	kept struct {
		Own   uint64                      `json:"own"`
		Peers map[string]map[string]start `json:"peers"` // by node and incarnation of its directory
	}
}

// openStarts reads what is known and counts this start.
func openStarts(path string) (*starts, error) {
	s := &starts{path: path}
	if err := readJSON(path, &s.kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if s.kept.Peers == nil {
		s.kept.Peers = map[string]map[string]start{}
	}
	s.kept.Own++
	return s, writeJSON(path, s.kept)
}

// hear notes a peer's start. It returns an error that wraps ErrOlderCopy where a later
// one is known of the same directory.
func (s *starts) hear(peer, incarnation string, now start) error {
	if now.Number == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known, had := s.kept.Peers[peer][incarnation]
	switch {
	case now == known:
		return nil
	case now.Number <= known.Number:
		return fmt.Errorf("%w: %s has been started from it %d times or more, and this is start %d", ErrOlderCopy, peer, known.Number, now.Number)
	case s.kept.Peers[peer] == nil:
		s.kept.Peers[peer] = map[string]start{}
	}
	s.kept.Peers[peer][incarnation] = now
	err := writeJSON(s.path, s.kept)
	if err == nil {
		return nil
	}
	if s.kept.Peers[peer][incarnation] = known; !had {
		delete(s.kept.Peers[peer], incarnation)
	}
	return err
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
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, m := range n.cfg.InitialCluster {
		if told[m.ID] {
			continue
		}
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
func (n *Node) outdated(peer, why string) {
	n.fail(fmt.Errorf("%w, says %s: %s. The node does not take part with %s, since it has forgotten what it acknowledged and whom it voted for: "+
		"put the newest copy back, or remove %s from the cluster, empty the directory and join it again as a learner",
		ErrOlderCopy, peer, strings.TrimPrefix(why, ErrOlderCopy.Error()+": "), n.dir.path, n.cfg.ID))
}
