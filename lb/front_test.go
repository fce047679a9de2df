package lb

import (
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// exhausted is a listener of a process that has no file descriptor left.
type exhausted struct {
	net.Listener
	closed sync.Once
	ended  chan struct{}
}

func (l *exhausted) Accept() (net.Conn, error) {
	select {
	case <-l.ended:
		return nil, net.ErrClosed
	default:
		return nil, unix.EMFILE
	}
}

func (l *exhausted) Close() error {
	l.closed.Do(func() { close(l.ended) })
	return nil
}

// A front that waits for room to accept does not wait once it is to stop.
func TestStopEndsThePauseOfAccept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &front{ln: &exhausted{ended: make(chan struct{})}, log: zap.NewNop(), stopped: make(chan struct{})}
		ended := make(chan error, 1)
		go func() { ended <- f.accept() }()
		synctest.Wait()
		begin := time.Now()
		f.stop()
		if err := <-ended; err != nil || time.Since(begin) > 0 {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}
