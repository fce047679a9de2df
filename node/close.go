package node

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// closeTimeout bounds each step of Close that waits for somebody else, and
// failTimeout where the node has failed: then the others must see it gone.
const (
	closeTimeout = 5 * time.Second
	failTimeout  = 200 * time.Millisecond
)

// Close ends the node; it may be called more than once. The order: new writes are
// refused and those who watch the role are told, then a leader hands its
// leadership over, then what is in flight is answered (the API closes), then raft
// and its port end, then the stores, and the health port last, so that it tells
// the truth until the end. No step waits longer than some seconds; a node that
// has failed hands nothing over and waits for nobody.
func (n *Node) Close() error {
	n.once.Do(func() { n.closed = n.close() })
	return n.closed
}

func (n *Node) close() error {
	limit := closeTimeout
	if n.ctx.Err() != nil {
		limit = failTimeout
	}
	n.closing.Store(true)
	n.Report()
	c := n.core.Load()
	if c != nil {
		c.proposer.stop()
		if n.ctx.Err() == nil {
			n.handOver(c)
		}
		c.proposer.abandon()
	}
	n.cancel(ErrClosed)
	n.endReads()
	errs := []error{n.shutdownAPI(limit)}
	n.bundles.close()
	if c != nil {
		errs = append(errs, c.close(limit))
	} else if n.port != nil {
		errs = append(errs, n.port.Close())
	}
	errs = append(errs, shutdown(n.health, n.healthLn, limit))
	n.spawning.Lock()
	n.ended = true
	n.spawning.Unlock()
	n.group.Wait()
	if c = n.core.Load(); c != nil { // startRaft may have won the race with Close
		errs = append(errs, c.close(limit))
	}
	if n.dir != nil {
		errs = append(errs, n.dir.close())
	}
	return errors.Join(errs...)
}

// spawn starts a goroutine that Close waits for, unless it waits already.
func (n *Node) spawn(f func()) (started bool) {
	n.spawning.Lock()
	defer n.spawning.Unlock()
	if n.ended {
		return false
	}
	n.group.Go(f)
	return true
}

// shutdownAPI is shutdown of the API, and of the connections that its loops have.
func (n *Node) shutdownAPI(limit time.Duration) error {
	if n.quick == nil {
		return shutdown(n.api, n.apiLn, limit)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var loops sync.WaitGroup
	loops.Go(func() { n.quick.Drain(ctx) })
	err := shutdown(n.api, n.apiLn, limit)
	loops.Wait()
	n.quick.End()
	return err
}

// shutdown ends a server and its port, each of which may be nil: it waits until
// every request has been answered, within limit. The port is closed by itself
// too: a server that was never asked to serve yet does not know it.
func shutdown(s *fasthttp.Server, ln net.Listener, limit time.Duration) error {
	var errs []error
	if s != nil {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		// Clients that keep their connection past the deadline lose it with the process.
		if err := drain(ctx, s); ctx.Err() == nil {
			errs = append(errs, err)
		}
	}
	if ln != nil {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// drain is fasthttp's Shutdown, which looks each 100 ms whether a connection is
// left, and first when one always is; here the look is taken each millisecond.
func drain(ctx context.Context, s *fasthttp.Server) error {
	empty, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for s.GetOpenConnectionsCount() > 0 {
			select {
			case <-tick.C:
			case <-empty.Done():
				return
			}
		}
		cancel()
	})
	err := s.ShutdownWithContext(empty)
	cancel()
	watch.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
