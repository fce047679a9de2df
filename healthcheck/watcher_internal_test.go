package healthcheck

import (
	"sync"
	"testing"

	"go.uber.org/zap"
)

// A check that was answered before a change, and is heard of at the same moment as
// the change, never has the last word.
func TestOlderAnswerNeverOverridesANewer(t *testing.T) {
	t.Parallel()
	for range 20_000 {
		var last Report
		w := NewWatcher("127.0.0.1:1", DefaultChecks(), zap.NewNop(), func(o Observation) { last = o.Report })
		before := w.version()
		var both sync.WaitGroup
		both.Go(func() { w.answer(Report{Epoch: "new"}) })
		both.Go(func() { w.check(Report{Epoch: "old"}, before) })
		both.Wait()
		if last.Epoch != "new" {
			t.Fatalf("the last word is %+v", last)
		}
	}
}
