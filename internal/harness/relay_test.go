package harness_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	harness.Cleanup()
	os.Exit(code)
}

// front writes through the balancer, waiting no longer than the test.
func front(c *harness.Cluster, key string) error {
	a, err := c.Try(http.MethodPut, "http://"+c.Front+"/kv/"+key, "v")
	if err == nil && a.Status != 200 {
		err = fmt.Errorf("%+v", a)
	}
	return err
}

// A leader that is cut off keeps its connections and hears nothing: the others
// elect, and it follows once the cut is healed.
func TestCutOffAndHealed(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{Relays: true})
	old := c.Leader()
	before, err := c.Role(old) // the harness itself goes past the relays
	if err != nil {
		t.Fatal(err)
	}
	c.Net.CutOff(old.Name)
	harness.Eventually(t, "another leader", func() error {
		if now := c.Leader(); now == old {
			return fmt.Errorf("still %s", now.Name)
		}
		return nil
	})
	if err := front(c, "while-cut"); err != nil {
		t.Errorf("write while %s is cut off: %v", old.Name, err)
	}
	if r, err := c.Role(old); err != nil || r.Term != before.Term {
		t.Errorf("%s is cut off and heard of term %d, was in %d (%v)", old.Name, r.Term, before.Term, err)
	}
	c.Net.Heal()
	c.WaitReady()
	c.WaitCaughtUp(old)
}

// One direction can be cut alone: a leader whose answers to clients are held has
// applied the write that it does not answer.
func TestCutOneWay(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{Relays: true})
	leader := c.Leader()
	c.Net.Cut(leader.Name, harness.Clients)
	answered := make(chan error, 1)
	go func() { answered <- front(c, "muted") }()
	harness.Eventually(t, "the write on the leader", func() error {
		if a := c.Do(http.MethodGet, "http://"+leader.HTTP+"/kv/muted", ""); a.Status != 200 {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	select {
	case err := <-answered:
		t.Fatalf("answered (%v) through a cut", err)
	default:
	}
	c.Net.Heal()
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(harness.Patience):
		t.Error("the answer never came")
	}
}

// A relay's port refuses when the node's does, whether the node is dead or only
// made to look so, and serves again with it.
func TestRelayRefuses(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{Relays: true})
	p := c.Followers()[0]
	known := knownHTTP(t, c, p)
	get := func() error {
		_, err := c.Try(http.MethodGet, "http://"+known+"/kv/a", "")
		return err
	}
	refuses := func() error {
		if err := get(); !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("got %w, want a refused connection", err)
		}
		return nil
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	for _, way := range []struct {
		name       string
		hurt, heal func()
	}{
		{"killed", p.Kill, p.Start},
		{"refused", func() { c.Net.Refuse(p.Name) }, c.Net.Heal},
	} {
		way.hurt()
		harness.Eventually(t, way.name+": the port to refuse", refuses)
		way.heal()
		harness.Eventually(t, way.name+": the port to be back", get)
		c.WaitReady()
	}
}

// Whoever sees a dead node's connection end finds its port refusing right then:
// that is how crash detection tells death from a broken connection.
func TestRelayRefusesBeforeItHangsUp(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Options{Relays: true, NoLB: true})
	for _, p := range c.Followers() {
		known := knownHTTP(t, c, p)
		conn, err := net.Dial("tcp", known)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// An answer shows that the connection has reached the node.
		if _, err := io.WriteString(conn, "GET /kv/a HTTP/1.1\r\nHost: n\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
		p.Kill()
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Fatal("a dead node went on talking")
		}
		if again, err := net.Dial("tcp", known); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the port of %s, which is dead: %v, want a refused connection", p.Name, err)
			if err == nil {
				again.Close()
			}
		}
	}
}

// knownHTTP is the address that others know a node's API by.
func knownHTTP(t *testing.T, c *harness.Cluster, p *harness.Process) string {
	t.Helper()
	r, err := c.Role(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Members {
		if m.ID == p.Name {
			return m.HTTP
		}
	}
	t.Fatalf("%s does not list itself: %+v", p.Name, r.Members)
	return ""
}
