package launcher

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dengine/dengine/healthcheck"
	"go.uber.org/zap"
)

// What an earlier run of a node has answered, and comes late, is not said of the new one.
func TestLateAnswerOfAnEarlierRunIsNotHeard(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	asked, release := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) > 1 {
			w.WriteHeader(http.StatusInternalServerError) // the new run is no node yet
			return
		}
		close(asked)
		<-release
		_ = json.NewEncoder(w).Encode(healthcheck.Report{ID: "n1", Role: healthcheck.RoleFollower, Ready: true, Epoch: "1"})
	}))
	defer s.Close()

	c := newCluster(Config{}, Plan{}, false, func(Event) {}, zap.NewNop())
	c.monitor = newMonitor([]string{"n1"}, func(Event) {})
	defer c.watching.Wait()
	defer c.unwatch()
	start := c.follows(Node{Process: Process{Name: "n1"}, Health: strings.TrimPrefix(s.URL, "http://")})
	up := func() bool {
		nodes, _ := c.monitor.views()
		return nodes[0].up
	}
	for range 2 { // the second run, while the first one's answer is under way
		start()
		c.monitor.with(func(tr *tracker, now time.Time) []Event { return tr.started(now, "n1") })
		<-asked
	}
	close(release)
	enough := requests.Load() + 20 // of the new run: the old one's answer has come long since
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); requests.Load() < enough; <-tick.C {
		if up() {
			t.Fatal("the new run is up, by an answer of the old one")
		}
		if time.Now().After(end) {
			t.Fatal("the new run is not watched")
		}
	}
}
