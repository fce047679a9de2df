package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// wrkMark begins the line in which wrk says what it found.
const wrkMark = "found: "

// wrkScript makes wrk send one request, always the same, and say what it found as
// JSON. Without a function "request" wrk makes the bytes once and calls no Lua.
const wrkScript = `wrk.method = %q
wrk.body = %s
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('` + wrkMark + `{"requests":%%d,"bytes":%%d,"us":%%d,"connect":%%d,"read":%%d,"write":%%d,"status":%%d,"timeout":%%d,' ..
    '"p50":%%.0f,"p99":%%.0f,"p999":%%.0f,"max":%%.0f}\n',
    summary.requests, summary.bytes, summary.duration, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
`

// wrkFound is what wrk says. Times are in microseconds.
type wrkFound struct {
	Requests, Bytes, US                   int
	Connect, Read, Write, Status, Timeout int // errors, by what failed; of answers those with a status of 400 and more
	P50, P99, P999, Max                   float64
}

// parseWrk finds it in all that wrk printed.
func parseWrk(printed string) (f wrkFound, err error) {
	_, line, ok := strings.Cut(printed, wrkMark)
	if !ok {
		return f, fmt.Errorf("wrk did not say what it found: %q", strings.TrimSpace(printed))
	}
	line, _, _ = strings.Cut(line, "\n")
	if err := json.Unmarshal([]byte(line), &f); err != nil {
		return f, fmt.Errorf("wrk said %q: %w", line, err)
	}
	return f, nil
}

// sample is what it means, where every request had an answer, of so many bytes at
// least. Anything else is no measurement.
func (f wrkFound) sample(answer int) (benchmark.Sample, error) {
	if f.Connect+f.Read+f.Write+f.Status+f.Timeout > 0 {
		return benchmark.Sample{}, fmt.Errorf("requests failed: connect %d, read %d, write %d, status %d, timeout %d of %d",
			f.Connect, f.Read, f.Write, f.Status, f.Timeout, f.Requests)
	}
	if f.Requests == 0 || f.US <= 0 {
		return benchmark.Sample{}, errors.New("no request was answered")
	}
	if f.Bytes < f.Requests*answer {
		return benchmark.Sample{}, fmt.Errorf("%d answers have %d B together, want at least %d B each", f.Requests, f.Bytes, answer)
	}
	const ms = 1000
	return benchmark.Sample{
		Requests: f.Requests, PerSecond: float64(f.Requests) / (float64(f.US) / 1e6),
		P50: f.P50 / ms, P99: f.P99 / ms, P999: f.P999 / ms, Max: f.Max / ms,
	}, nil
}

// wrk sends as many requests as it can for so long, over n connections, and returns
// what it found.
func wrk(t harness.T, dir string, w workload, addr string, n int, length time.Duration) (benchmark.Sample, error) {
	t.Helper()
	path, err := harness.Find("wrk")
	if err != nil {
		return benchmark.Sample{}, err
	}
	script := filepath.Join(dir, "wrk.lua")
	if err := os.WriteFile(script, []byte(w.script()), 0o600); err != nil {
		return benchmark.Sample{}, err
	}
	threads := min(n, 2) // as many as HAProxy and nginx get
	p := harness.Foreign(t, dir, path, []string{
		"-t", fmt.Sprint(threads), "-c", fmt.Sprint(n), "-d", fmt.Sprintf("%.0fs", length.Seconds()), "--timeout", "10s",
		"-s", script, "http://" + addr + w.path,
	})
	if code := p.Wait(); code != 0 {
		return benchmark.Sample{}, fmt.Errorf("wrk ended with %d: %q", code, strings.TrimSpace(p.Log()))
	}
	f, err := parseWrk(p.Log())
	if err != nil {
		return benchmark.Sample{}, err
	}
	return f.sample(w.answer)
}

func (w workload) script() string {
	body := "nil"
	if w.body != "" {
		body = fmt.Sprintf("%q", w.body)
	}
	return fmt.Sprintf(wrkScript, w.method, body)
}
