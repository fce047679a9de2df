package launcher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/launcher"
	"go.uber.org/zap"
)

var update = flag.Bool("update", false, "rewrite golden files")

// deadline bounds every wait in these tests; none depends on how long
// something takes.
const deadline = time.Minute

// fakes is where the fake programs are, built once for all tests.
var fakes string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "launcher-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		fakes = dir
		for _, name := range []string{"dengine-node", "dengine-lb"} {
			out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), "./testdata/fake").CombinedOutput()
			if err != nil {
				fmt.Fprintf(os.Stderr, "build the fake programs: %v\n%s", err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// events takes what Run writes with JSON set.
type events struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	list []launcher.Event
}

func (e *events) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.buf.Write(p)
	for {
		line, err := e.buf.ReadBytes('\n')
		if err != nil {
			e.buf.Write(line)
			return len(p), nil
		}
		var one launcher.Event
		if err := json.Unmarshal(line, &one); err != nil {
			return 0, fmt.Errorf("not an event: %s", line)
		}
		e.list = append(e.list, one)
	}
}

func (e *events) all() []launcher.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]launcher.Event(nil), e.list...)
}

// first returns the first event from position from on that is of kind.
func (e *events) first(from int, kind launcher.EventKind) (launcher.Event, bool) {
	for _, one := range e.all()[from:] {
		if one.Kind == kind {
			return one, true
		}
	}
	return launcher.Event{}, false
}

// cluster is one Run.
type cluster struct {
	*launcher.Client
	t      *testing.T
	cfg    launcher.Config
	events *events
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // read after ended
}

// config is one whose ports are free, with a socket and temporary folder of
// its own.
func config(t *testing.T) launcher.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "up-") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cfg := launcher.DefaultConfig()
	cfg.Socket = filepath.Join(dir, "s")
	cfg.TempDir = filepath.Join(dir, "tmp")
	if err := os.Mkdir(cfg.TempDir, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg.NodeBin = filepath.Join(fakes, "dengine-node")
	cfg.LBBin = filepath.Join(fakes, "dengine-lb")
	cfg.JSON = true
	cfg.Wait = deadline
	cfg.PortOffset = freeOffset(t)
	return cfg
}

// freeOffset finds an offset whose ports are free, and stay so for this test.
func freeOffset(t *testing.T) int {
	t.Helper()
	return harness.FreeOffset(t, 9, 8080, 9080, 10000)
}

// run starts cfg and does not wait. At the end of the test nothing may be left.
func run(t *testing.T, cfg launcher.Config) *cluster {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &cluster{Client: launcher.NewClient(cfg.Socket), t: t, cfg: cfg, events: &events{}, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		c.err = launcher.Run(ctx, cfg, c.events, zap.NewNop())
	}()
	t.Cleanup(func() {
		cancel()
		c.waitEnd()
	})
	return c
}

// up starts a cluster and waits until it serves. Another test may take a port
// between the look and the start; then others are tried.
func up(t *testing.T, change func(*launcher.Config)) *cluster {
	t.Helper()
	for range 5 {
		cfg := config(t)
		if change != nil {
			change(&cfg)
		}
		c := run(t, cfg)
		eventually(t, "the cluster is ready or has ended", func() bool {
			_, ready := c.events.first(0, launcher.EventReady)
			return ready || c.hasEnded()
		})
		var conflict *launcher.ConflictError
		if c.hasEnded() && errors.As(c.err, &conflict) {
			continue
		}
		if c.hasEnded() {
			t.Fatalf("Run ended: %v", c.err)
		}
		return c
	}
	t.Fatal("ports are taken again and again")
	return nil
}

func (c *cluster) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

func (c *cluster) waitEnd() error {
	c.t.Helper()
	select {
	case <-c.ended:
		return c.err
	case <-time.After(deadline):
		c.t.Error("Run does not end")
		return errors.New("Run does not end")
	}
}

// status is one in which every node that runs has answered: on a busy machine that
// may take longer than a status waits.
func (c *cluster) status() (s launcher.Status) {
	c.t.Helper()
	eventually(c.t, "an answer of every node that runs", func() bool {
		var err error
		if s, err = c.Status(c.t.Context()); err != nil {
			c.t.Fatalf("status: %v", err)
		}
		return !slices.ContainsFunc(s.Nodes, func(n launcher.NodeStatus) bool { return n.State == launcher.StateRunning && n.Role == "" })
	})
	return s
}

func (c *cluster) process(name string) launcher.ProcessStatus {
	c.t.Helper()
	s := c.status()
	if name == "lb" {
		return s.Balancer.ProcessStatus
	}
	for _, n := range s.Nodes {
		if n.Name == name {
			return n.ProcessStatus
		}
	}
	c.t.Fatalf("no process %s", name)
	return launcher.ProcessStatus{}
}

// do is an action that must succeed.
func (c *cluster) do(action launcher.Action, name string) string {
	c.t.Helper()
	message, err := c.Act(c.t.Context(), action, name)
	if err != nil {
		c.t.Fatalf("%s %s: %v", action, name, err)
	}
	return message
}

// refused is an action that must fail, saying all of the words.
func (c *cluster) refused(action launcher.Action, name string, words ...string) {
	c.t.Helper()
	message, err := c.Act(c.t.Context(), action, name)
	if err == nil {
		c.t.Fatalf("%s %s succeeded: %s", action, name, message)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			c.t.Errorf("%s %s: %q does not say %q", action, name, err, w)
		}
	}
}

// event waits for an event of kind after position from, and returns it.
func (c *cluster) event(from int, kind launcher.EventKind) launcher.Event {
	c.t.Helper()
	var e launcher.Event
	eventually(c.t, "event "+string(kind), func() (ok bool) {
		e, ok = c.events.first(from, kind)
		return ok
	})
	return e
}

// led is the status once somebody leads.
func (c *cluster) led() (s launcher.Status) {
	c.t.Helper()
	eventually(c.t, "there is a leader", func() bool {
		s = c.status()
		return s.Leader != ""
	})
	return s
}

func (c *cluster) leader() string {
	c.t.Helper()
	return c.led().Leader
}
