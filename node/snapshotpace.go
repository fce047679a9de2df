package node

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

// A snapshot that is written as fast as the disk takes it holds up the log, which is
// on the same disk: hundreds of MB go out at once, and every append waits behind
// them. So it is written in pieces, each is on its way before the next, and the disk
// rests in between.
const (
	pieceBytes = 256 << 10
	restTimes  = 3                     // a rest is so many times as long as the piece before it took
	longRest   = 25 * time.Millisecond // and no longer: 10 MB/s must be had
)

// errSnapshotStopped ends a snapshot that is under way when its node stops: it is
// written again some other time, and nobody waits for it.
var errSnapshotStopped = errors.New("the node stops")

// settler is a sink of which what was written can be sent to the disk.
type settler interface {
	io.Writer
	settle() error // returns when it has got there
	rest(time.Duration)
}

// pacedWriter writes to a sink in pieces.
type pacedWriter struct {
	sink  settler
	piece int // bytes since the last one
	began time.Time
}

// paced returns what writes a snapshot to a sink.
func paced(sink raft.SnapshotSink) io.Writer {
	if s, ok := sink.(settler); ok {
		return &pacedWriter{sink: s}
	}
	return sink
}

// Write implements io.Writer.
func (w *pacedWriter) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		if w.piece == 0 {
			w.began = time.Now()
		}
		var n int
		n, err = w.sink.Write(b[:min(len(b), pieceBytes-w.piece)])
		b, written, w.piece = b[n:], written+n, w.piece+n
		if err == nil && w.piece == pieceBytes {
			err = w.settle()
		}
	}
	return written, err
}

func (w *pacedWriter) settle() error {
	w.piece = 0
	if err := w.sink.settle(); err != nil {
		return err
	}
	w.sink.rest(min(restTimes*time.Since(w.began), longRest))
	return nil
}

// settle implements settler.
func (s *snapshotSink) settle() (err error) {
	if s.state == nil {
		s.state, err = os.Open(filepath.Join(s.store.path, s.ID()+halfSnapshot, snapshotState))
	}
	if err == nil {
		err = writeOut(s.state)
	}
	if err != nil {
		err = s.store.explain(err)
	}
	return err
}

// rest implements settler.
func (s *snapshotSink) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.store.stop:
	}
}

// release closes what settle has opened.
func (s *snapshotSink) release() {
	if s.state != nil {
		_ = s.state.Close() // nothing was written through it
		s.state = nil
	}
}

// abandon ends the snapshots that are being written, and lets no other begin.
func (s *snapshotStore) abandon() { s.stopOnce.Do(func() { close(s.stop) }) }

func (s *snapshotStore) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}
