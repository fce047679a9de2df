package lb

import (
	"errors"
	"time"

	"go.uber.org/zap"
)

// ErrDrain says that Run ended before everything in flight had.
var ErrDrain = errors.New("requests were still in flight at the end of the drain timeout")

// lastWords is how long answers that say "no more time" have to leave.
const lastWords = time.Second

// beginDrain makes readyz fail, closes the clients' port and every connection
// after its current request. It cannot be taken back.
func (b *Balancer) beginDrain() {
	b.drainOnce.Do(func() {
		b.draining.Store(true)
		b.log.Info("draining", zap.Int64("in_flight", b.inFlight.Load()), zap.Int64("held", b.held.requests.Load()))
		close(b.drain)
	})
}

// finishDrain waits for what is in flight, and cuts what takes too long.
func (b *Balancer) finishDrain(drained <-chan struct{}) error {
	limit := time.NewTimer(b.set.Load().cfg.DrainTimeout)
	defer limit.Stop()
	tunnels := make(chan struct{})
	go func() { // ends with the tunnels, which are cut below at the latest
		<-drained
		b.tunnels.Wait()
		close(tunnels)
	}()
	select {
	case <-tunnels:
		return nil
	case <-limit.C:
	}
	var err error
	select {
	case <-drained: // only tunnels are left
	default:
		err = ErrDrain
	}
	close(b.overdue)
	limit.Reset(lastWords)
	select {
	case <-drained:
	case <-limit.C:
	}
	b.cancel()
	b.registry.abort()
	b.front.cut(func(bool) bool { return true })
	<-tunnels
	return err
}
