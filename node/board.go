package node

import (
	"slices"
	"strconv"
	"sync"

	"github.com/dengine/dengine/healthcheck"
)

// board holds the node's published report and wakes who waits for another one.
type board struct {
	run string // names this run of the node in epochs

	mu      sync.Mutex
	report  healthcheck.Report
	count   uint64
	changed chan struct{}
}

func newBoard() *board {
	return &board{run: randomHex()[:12], changed: make(chan struct{})}
}

// publish stores a fresh report. A new epoch begins when it differs in what the
// epoch stands for; the indexes may differ within one. It returns the report
// with its epoch, and the one before if an epoch has begun.
func (b *board) publish(r healthcheck.Report) (now healthcheck.Report, before *healthcheck.Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count == 0 || !sameEpoch(b.report, r) {
		old := b.report
		before = &old
		b.count++
		close(b.changed)
		b.changed = make(chan struct{})
	}
	r.Epoch = b.run + "-" + strconv.FormatUint(b.count, 10)
	b.report = r
	return r, before
}

func sameEpoch(a, b healthcheck.Report) bool {
	return a.Role == b.Role && a.Term == b.Term && a.Leader == b.Leader && a.Primary == b.Primary &&
		a.Replica == b.Replica && a.Ready == b.Ready && slices.Equal(a.Members, b.Members)
}
