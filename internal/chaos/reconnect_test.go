package chaos

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// Some clients open a connection for each request, as many as the profile says; the
// others keep theirs.
func TestSomeClientsReconnect(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	requests := map[string]int{} // by connection
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests[r.RemoteAddr]++
	}))
	t.Cleanup(srv.Close)
	l := newLoad(Profile{Keys: 1, PerSecond: 400, Reconnect: 2}, Promise{Level: "lease"}, "k")
	l.start(1, []target{{"lb", srv.Listener.Addr().String(), 4}})
	harness.Eventually(t, "both kinds of connections", func() error {
		mu.Lock()
		defer mu.Unlock()
		once, kept := 0, 0
		for _, n := range requests {
			switch {
			case n == 1:
				once++
			case n > 10:
				kept++
			}
		}
		if once < 20 || kept == 0 {
			return fmt.Errorf("%d served one request, %d many", once, kept)
		}
		return nil
	})
	l.stop()
}
