package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/benchmark"
)

// Floors are those of the issue: a plan that lost one would promise less unseen.
func TestProxyFloors(t *testing.T) {
	t.Parallel()
	got := map[string]bool{}
	for _, p := range proxyPromises() {
		name := fmt.Sprintf("%s, %d", p.What, p.Of.Connections)
		if _, ok := got[name]; ok {
			t.Errorf("%s is promised twice", name)
		}
		got[name] = p.AtLeast > 0 || p.AtMost > 0
		if !got[name] {
			continue
		}
		if _, ok := wantedFloors[name]; !ok {
			t.Errorf("%s has a floor that the issue does not set", name)
		}
		if limit := fmt.Sprintf("≥ %v ≤ %v", p.AtLeast, p.AtMost); limit != wantedFloors[name] {
			t.Errorf("%s: %s, want %s", name, limit, wantedFloors[name])
		}
	}
	for name := range wantedFloors {
		if !got[name] {
			t.Errorf("%s has no floor", name)
		}
	}
}

const (
	plain16  = "GET 16 B from three plain servers: "
	paced16  = "GET 16 B at half of HAProxy's most from three plain servers: p99 ms, dengine / HAProxy, "
	caddy16  = plain16 + "requests/s, dengine / Caddy, "
	caddy1k  = "GET 1 KiB from three plain servers: requests/s, dengine / Caddy, "
	caddy256 = "POST 256 B from three plain servers: requests/s, dengine / Caddy, "
)

var wantedFloors = map[string]string{
	plain16 + "requests/s, dengine / HAProxy, 16":                         "≥ 0.95 ≤ 0",
	plain16 + "requests/s, dengine / HAProxy, 64":                         "≥ 1 ≤ 0",
	plain16 + "requests/s, dengine / HAProxy, 256":                        "≥ 1.05 ≤ 0",
	plain16 + "CPU µs/request, dengine / HAProxy, 64":                     "≥ 0 ≤ 1",
	plain16 + "CPU µs/request, dengine / HAProxy, 256":                    "≥ 0 ≤ 1",
	"GET 1 KiB from three plain servers: requests/s, dengine / nginx, 64": "≥ 1 ≤ 0",
	caddy16 + "16": "≥ 3 ≤ 0", caddy16 + "64": "≥ 3 ≤ 0", caddy16 + "256": "≥ 3 ≤ 0", caddy16 + "1024": "≥ 3 ≤ 0",
	caddy1k + "16": "≥ 3 ≤ 0", caddy1k + "64": "≥ 3 ≤ 0", caddy1k + "256": "≥ 3 ≤ 0", caddy1k + "1024": "≥ 3 ≤ 0",
	caddy256 + "16": "≥ 3 ≤ 0", caddy256 + "64": "≥ 3 ≤ 0", caddy256 + "256": "≥ 3 ≤ 0", caddy256 + "1024": "≥ 3 ≤ 0",
	paced16 + "16": "≥ 0 ≤ 1.2", paced16 + "64": "≥ 0 ≤ 1.2", paced16 + "256": "≥ 0 ≤ 1.2",
}

// Who comes first is another one in each round, and nobody is left out.
func TestRotated(t *testing.T) {
	t.Parallel()
	all := []running{{addr: "a"}, {addr: "b"}, {addr: "c"}}
	firsts := ""
	for round := 1; round <= 3; round++ {
		turn := rotated(all, round)
		firsts += turn[0].addr
		for _, r := range all {
			if !slices.ContainsFunc(turn, func(o running) bool { return o.addr == r.addr }) {
				t.Errorf("round %d: no %s in %v", round, r.addr, turn)
			}
		}
	}
	if firsts != "bca" {
		t.Errorf("first came %s", firsts)
	}
	if got := rotated(nil, 1); len(got) != 0 {
		t.Errorf("of nobody: %v", got)
	}
}

const wrkPrinted = "Running 2s test\n  Non-2xx\n" + wrkMark +
	`{"requests":100,"bytes":4000,"us":2000000,"connect":0,"read":0,"write":0,"status":0,"timeout":0,"p50":1500,"p99":2500,"p999":3500,"max":9000}` + "\nmore"

func TestWrkFound(t *testing.T) {
	t.Parallel()
	f, err := parseWrk(wrkPrinted)
	if err != nil {
		t.Fatal(err)
	}
	want := benchmark.Sample{Requests: 100, PerSecond: 50, P50: 1.5, P99: 2.5, P999: 3.5, Max: 9}
	if s, err := f.sample(40); err != nil || s != want {
		t.Errorf("%+v, %v; want %+v", s, err, want)
	}
	if _, err := parseWrk("unable to connect"); err == nil || !strings.Contains(err.Error(), "unable to connect") {
		t.Errorf("wrk that failed: %v", err)
	}
	if _, err := parseWrk(wrkMark + "{nonsense"); err == nil {
		t.Error("nonsense passes")
	}
}

// One request that fails, or answers that are too short, and there is no figure.
func TestWrkThatFailed(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*wrkFound){
		func(f *wrkFound) { f.Connect = 1 },
		func(f *wrkFound) { f.Read = 1 },
		func(f *wrkFound) { f.Write = 1 },
		func(f *wrkFound) { f.Status = 1 },
		func(f *wrkFound) { f.Timeout = 1 },
		func(f *wrkFound) { f.Bytes = 3999 },
		func(f *wrkFound) { f.Requests = 0 },
	} {
		f, err := parseWrk(wrkPrinted)
		if err != nil {
			t.Fatal(err)
		}
		change(&f)
		if s, err := f.sample(40); err == nil || s != (benchmark.Sample{}) {
			t.Errorf("%+v: %+v, %v", f, s, err)
		}
	}
}

// Both generators send the same request, and it is one that servers understand.
func TestRequestBytes(t *testing.T) {
	t.Parallel()
	for _, w := range workloads() {
		got := make(chan string, 1)
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body) // what came of it is compared below
			got <- r.Method + " " + r.URL.Path + " " + string(body)
		}))
		defer s.Close()
		addr := strings.TrimPrefix(s.URL, "http://")
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, w.bytes(addr)); err != nil {
			t.Fatal(err)
		}
		select {
		case sent := <-got:
			if want := w.method + " " + w.path + " " + w.body; sent != want {
				t.Errorf("%s: %q, want %q", w.what, sent, want)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s: not understood", w.what)
		}
		if script := w.script(); !strings.Contains(script, fmt.Sprintf("wrk.method = %q", w.method)) || !strings.Contains(script, w.body) {
			t.Errorf("%s: %s", w.what, script)
		}
	}
}

// Configurations name every server, and send writes to the leader where there is one.
func TestConfigurations(t *testing.T) {
	t.Parallel()
	s := site{Listen: "127.0.0.1:1", Backends: []server{{"n1", "127.0.0.1:11", "127.0.0.1:21"}, {"n2", "127.0.0.1:12", "127.0.0.1:22"}}}
	for _, p := range rivals() {
		for _, leader := range []string{"", "127.0.0.1:12"} {
			s.Leader = leader
			text, err := render(p.config, s)
			if err != nil {
				t.Errorf("%s: %v", p.name, err)
			}
			for _, want := range []string{"127.0.0.1:1", "127.0.0.1:11", "127.0.0.1:12"} {
				if !strings.Contains(text, want) {
					t.Errorf("%s, leader %q: no %s in\n%s", p.name, leader, want, text)
				}
			}
			mark := map[string]string{haproxy: "use_backend leader", nginx: "upstream leader", caddy: "@write"}[p.name]
			if routed := strings.Contains(text, mark); routed != (leader != "") {
				t.Errorf("%s, leader %q: %q is there: %t", p.name, leader, mark, routed)
			}
		}
	}
}
