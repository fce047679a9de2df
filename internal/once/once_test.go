package once

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

func TestFates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a    Answer
		err  error
		want Fate
	}{
		{a: Answer{Status: 200}, want: Acked},
		{a: Answer{Status: 503, Outcome: "not-applied"}, want: Refused},
		{a: Answer{Status: 502, Outcome: "unknown"}, want: Unknown},
		{a: Answer{Status: 503}, want: Unknown},
		{err: io.EOF, want: Unknown},
		{err: fmt.Errorf("%w: refused", ErrNotSent), want: Refused},
	} {
		if got := FateOf(tt.a, tt.err); got != tt.want {
			t.Errorf("%+v, %v: %d, want %d", tt.a, tt.err, got, tt.want)
		}
	}
}

// A server that closes a kept connection, without having said so, has failed no
// request: the client looks before it sends.
func TestClosedConnectionIsNotAFailure(t *testing.T) {
	t.Parallel()
	conns := make(chan net.Conn, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateIdle {
			conns <- c
		}
	}
	srv.Start()
	defer srv.Close()
	c := Client{Addr: srv.Listener.Addr().String(), Timeout: time.Minute}
	defer c.Close()
	for range 20 {
		if a, err := c.Do(http.MethodPut, "/", nil); err != nil || a.Status != 200 {
			t.Fatalf("%+v, %v", a, err)
		}
		if len(c.idle) != 1 {
			t.Fatalf("%d connections kept, want 1", len(c.idle))
		}
		(<-conns).Close()
		harness.Eventually(t, "the end of the connection", func() error {
			if c.idle[0].silent() {
				return errors.New("it looks open")
			}
			return nil
		})
	}
}

func TestReasonsNameNoAddress(t *testing.T) {
	t.Parallel()
	c := Client{Addr: "127.0.0.1:1", Timeout: time.Minute} // nobody listens there
	_, err := c.Do(http.MethodGet, "/", nil)
	if !errors.Is(err, ErrNotSent) || Reason(Answer{}, err) != "connection refused" {
		t.Errorf("%v: %q", err, Reason(Answer{}, err))
	}
}
