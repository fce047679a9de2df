package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// The files in testdata name fixed ports, so that none of these tests runs in
// parallel with another; nothing else in the repository may use those ports.

// TestProxies walks through what the README promises, with each proxy and its
// file as it is, in front of three real nodes.
func TestProxies(t *testing.T) {
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			s.accepts(t)
			fixedPorts(t)
			c := harness.Start(t, harness.Options{NoLB: true, Standard: true, NodeArgs: patient}) // the only new leader is that of failsOver
			s.start(t)
			rolesByHealthPort(c)
			writeAndRead(c)
			everyNodeReads(c)
			passesUnharmed(c)
			if s.courteous {
				otherMethodsGoToLeader(c)
			}
			failsOver(c, s)
		})
	}
}

// rolesByHealthPort: one port of three answers /primary with 200, the other two
// answer /replica so.
func rolesByHealthPort(c *harness.Cluster) {
	c.T.Helper()
	harness.Eventually(c.T, "one primary and two replicas", func() error {
		got := map[string]int{}
		for _, port := range []int{10001, 10002, 10003} {
			for _, path := range []string{"/primary", "/replica"} {
				a, err := c.Try(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), "")
				if err != nil {
					return err
				}
				got[fmt.Sprintf("%s %d", path, a.Status)]++
			}
		}
		want := map[string]int{"/primary 200": 1, "/primary 503": 2, "/replica 200": 2, "/replica 503": 1}
		if fmt.Sprint(got) != fmt.Sprint(want) { // fmt prints maps in order
			return fmt.Errorf("got %v, want %v", got, want)
		}
		return nil
	})
}

// becomes waits until a request is answered so. A proxy that has just started
// may not know the leader yet, and a follower may be some milliseconds behind.
func becomes(c *harness.Cluster, method, url, body string, status int, want string) {
	c.T.Helper()
	harness.Eventually(c.T, fmt.Sprintf("%s %s to give %d %s", method, url, status, want), func() error {
		headers := []string{}
		if method == http.MethodPost {
			headers = append(headers, "Content-Type", "application/json")
		}
		a, err := c.Try(method, url, body, headers...)
		if err == nil && (a.Status != status || want != "" && a.Body != want) {
			err = fmt.Errorf("%d %s", a.Status, a.Body)
		}
		return err
	})
}

func writeAndRead(c *harness.Cluster) {
	c.T.Helper()
	const key = "/kv/username"
	becomes(c, http.MethodPost, "http://"+proxyFront+"/kv", `{"key":"username","value":"alice"}`, 200, "{}")
	fronts := []string{proxyFront, "127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"}
	for _, at := range fronts {
		becomes(c, http.MethodGet, "http://"+at+key, "", 200, `{"value":"alice"}`)
	}
	becomes(c, http.MethodDelete, "http://"+proxyFront+key, "", 200, "{}")
	for _, at := range fronts {
		becomes(c, http.MethodGet, "http://"+at+key, "", 404, "")
	}
}

// everyNodeReads: reads spread over all three.
func everyNodeReads(c *harness.Cluster) {
	c.T.Helper()
	seen := map[string]bool{}
	harness.Eventually(c.T, "reads from n1, n2 and n3", func() error {
		a, err := c.Try(http.MethodGet, "http://"+proxyFront+"/kv/nothing", "")
		if err != nil {
			return err
		}
		seen[a.Header.Get("Dengine-Node")] = true
		if !seen["n1"] || !seen["n2"] || !seen["n3"] {
			return fmt.Errorf("so far %v", seen)
		}
		return nil
	})
}

// passesUnharmed: the longest value, and a key that a proxy which tidies paths
// would change, arrive as they were sent.
func passesUnharmed(c *harness.Cluster) {
	c.T.Helper()
	const path = "/kv/a%2Fb%20c//d/./../e%3F%25"
	value := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	leader := c.Leader()
	for _, at := range []string{proxyFront, leader.HTTP} { // each way in, and out by the other
		other := proxyFront
		if at == proxyFront {
			other = leader.HTTP
		}
		value = at + value[len(at):]
		becomes(c, http.MethodPut, "http://"+at+path, value, 200, "{}")
		harness.Eventually(c.T, "the value by "+other, func() error {
			a, err := c.Try(http.MethodGet, "http://"+other+path, "", "Accept", "application/octet-stream")
			if err == nil && (a.Status != 200 || a.Body != value) {
				err = fmt.Errorf("%d, %d bytes", a.Status, len(a.Body))
			}
			return err
		})
	}
}

// otherMethodsGoToLeader: PATCH is a write to whoever does not know better.
func otherMethodsGoToLeader(c *harness.Cluster) {
	c.T.Helper()
	leader := c.Leader()
	for range 6 { // round-robin would reach another node by then
		a := c.Do(http.MethodPatch, "http://"+proxyFront+"/kv/x", "x")
		if a.Status != 405 || a.Header.Get("Dengine-Node") != leader.Name {
			c.T.Errorf("PATCH: %d from %q, want 405 from the leader %s", a.Status, a.Header.Get("Dengine-Node"), leader.Name)
		}
	}
}

// failsOver kills the leader under load. Writes must work again, no acknowledged
// one may be missing on any node or have been applied twice, and a courteous
// proxy says of each failed one what became of it and lets no read fail.
func failsOver(c *harness.Cluster, s sample) {
	c.T.Helper()
	l := startLoad(c)
	defer l.stop() // also where the test ends early
	l.progress(20)
	leader := c.Leader()
	leader.Kill()
	l.progress(20)
	leader.Start()
	c.WaitReady()
	l.progress(20)
	l.stop()

	if s.courteous {
		if err := errors.Join(l.broken...); err != nil && !s.hangsUp {
			c.T.Errorf("connections to clients broke: %v", err)
		}
		if len(l.reads) > 0 {
			c.T.Errorf("%d reads failed, the first with %+v", len(l.reads), l.reads[0])
		}
		l.saidWhatBecameOfThem(c.T)
	}
	c.WaitSame()
	for key, acked := range l.keys {
		for _, p := range c.Nodes {
			a := c.Do(http.MethodGet, "http://"+p.HTTP+"/kv/"+key+"?consistency=eventual", "")
			switch {
			case a.Status == 404 && !acked:
			case a.Status != 200:
				c.T.Errorf("acknowledged write %s is missing on %s: %+v", key, p.Name, a)
			case a.Header.Get("Dengine-Writes") != "1":
				c.T.Errorf("%s was written %s times, sent once", key, a.Header.Get("Dengine-Writes"))
			}
		}
	}
}
