package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// looping is a load of four connections to a server.
func looping(t *testing.T, addr string, next func(out []byte) []byte) keyed {
	t.Helper()
	l := connected(t, 4, []*harness.Process{{HTTP: addr}}, 3, func(_ string, out []byte) []byte { return next(out) })
	t.Cleanup(l.close)
	return l
}

func short(out []byte) []byte { return append(out, paceRequest...) }

// What counts was answered within the window, and in the end nothing is in flight.
func TestClosedLoopCountsAnswers(t *testing.T) {
	t.Parallel()
	var asked, answered atomic.Int64
	addr := answering(t, func(conn net.Conn) {
		request := make([]byte, len(paceRequest))
		for {
			if _, err := io.ReadFull(conn, request); err != nil {
				return
			}
			asked.Add(1)
			if _, err := io.WriteString(conn, paceAnswer); err != nil {
				return
			}
			answered.Add(1)
		}
	})
	w := benchmark.Window{WarmUp: 50 * time.Millisecond, Length: 200 * time.Millisecond}
	samples, err := w.Measure(benchmark.NewMeter(), looping(t, addr, short).Load)
	if err != nil {
		t.Fatal(err)
	}
	if n := int64(samples[0].Requests); n == 0 || n >= asked.Load() || samples[0].P50 <= 0 {
		t.Errorf("%d of %d requests count, want some and none of the warm-up; p50 %v ms", n, asked.Load(), samples[0].P50)
	}
	harness.Eventually(t, "an answer to every request", func() error {
		if asked.Load() != answered.Load() {
			return fmt.Errorf("%d of %d", answered.Load(), asked.Load())
		}
		return nil
	})
}

// A request that is longer than what the kernel takes at once arrives whole.
func TestClosedLoopSendsLongRequests(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("0123456789"), 1<<20)
	var whole atomic.Int64
	addr := answering(t, func(conn net.Conn) {
		request := make([]byte, len(long))
		for {
			if _, err := io.ReadFull(conn, request); err != nil {
				return
			}
			if bytes.Equal(request, long) {
				whole.Add(1)
			}
			if _, err := io.WriteString(conn, paceAnswer); err != nil {
				return
			}
		}
	})
	w := benchmark.Window{Length: time.Millisecond}
	load := looping(t, addr, func(out []byte) []byte { return append(out, long...) })
	if _, err := w.Measure(benchmark.NewMeter(), load.Load); err != nil || whole.Load() < 4 {
		t.Errorf("%d came whole, want one of each connection at least; %v", whole.Load(), err)
	}
}

// What fails is not fast.
func TestClosedLoopFails(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n": "refused: HTTP/1.1 503",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab":                "has 2 B, want at least 3",
		paceAnswer + paceAnswer:                                         "not asked for",
	} {
		w := benchmark.Window{Length: time.Hour}
		_, err := w.Measure(benchmark.NewMeter(), looping(t, answering(t, always(answer)), short).Load)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", answer, err, want)
		}
	}
}
