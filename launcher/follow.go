package launcher

import (
	"context"
	"time"

	"github.com/dengine/dengine/healthcheck"
)

// follows returns what begins to follow the role of a new run of a node. An answer
// of the run before may be on its way still: nobody hears it any more.
func (c *cluster) follows(n Node) func() {
	forget := func() {}
	return func() {
		forget()
		ctx, cancel := context.WithCancel(c.watched)
		forget = cancel
		w := healthcheck.NewWatcher(n.Health, watchChecks(), c.log, func(o healthcheck.Observation) {
			c.monitor.with(func(t *tracker, now time.Time) []Event {
				if ctx.Err() != nil {
					return nil
				}
				return t.observed(now, n.Name, o)
			})
		})
		c.watching.Go(func() { w.Run(ctx) })
	}
}
