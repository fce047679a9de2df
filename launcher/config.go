package launcher

import (
	"fmt"
	"time"
)

// Balancer names what stands in front of the nodes.
type Balancer string

const (
	BalancerDengine Balancer = "dengine" // the dengine-lb program
	BalancerHAProxy Balancer = "haproxy" // an installed HAProxy, with a generated configuration
	BalancerNone    Balancer = "none"    // nothing: clients talk to the nodes
)

// MaxPortOffset keeps the highest port of seven nodes within 65535.
const MaxPortOffset = 65535 - baseHealth - 7

// Config says what Run starts. DefaultConfig has the defaults.
type Config struct {
	// Nodes is how many: 1, 3, 5 or 7. 0 means as many as DataDir remembers,
	// 3 where it remembers nothing.
	Nodes int
	// DataDir keeps the nodes' data. Empty: a temporary folder, removed at the end.
	DataDir    string
	PortOffset int           // added to every port, 0 to MaxPortOffset
	Wait       time.Duration // how long nodes and balancer may take to be ready
	// Grace is how long a process may take to end after SIGTERM, before SIGKILL.
	Grace    time.Duration
	LogLevel string // passed to nodes and balancer: debug, info, warn or error
	Balancer Balancer
	Socket   string   // path of the control socket
	NodeBin  string   // path of the dengine-node program
	LBBin    string   // path of the dengine-lb program; read for BalancerDengine only
	NodeArgs []string // more arguments for every node
	JSON     bool     // events as JSON lines instead of text
	// Command is how the user calls this program, with the flags that lead to
	// its socket, for the commands that are shown: "dengine-up --port-offset 100".
	Command string
	// TempDir is where the temporary folder is made; empty: os.TempDir().
	TempDir string
	// Now, when closed, makes an orderly end a quick one: SIGKILL for all.
	Now <-chan struct{}
}

// DefaultConfig is three nodes behind dengine-lb on the default ports. Socket
// and the programs' paths are left to the caller.
func DefaultConfig() Config {
	return Config{
		Wait:     30 * time.Second,
		Grace:    10 * time.Second,
		LogLevel: "info",
		Balancer: BalancerDengine,
		Command:  "dengine-up",
	}
}

// Validate names the first field that cannot be used, and its value.
func (c Config) Validate() error {
	if c.Nodes != 0 {
		if err := checkNodes(c.Nodes); err != nil {
			return err
		}
	}
	switch {
	case c.PortOffset < 0 || c.PortOffset > MaxPortOffset:
		return fmt.Errorf("port offset %d: must be from 0 to %d", c.PortOffset, MaxPortOffset)
	case c.Wait <= 0:
		return fmt.Errorf("wait %v: must be more than 0", c.Wait)
	case c.Grace <= 0:
		return fmt.Errorf("grace %v: must be more than 0", c.Grace)
	case c.Socket == "":
		return fmt.Errorf("socket: must name a path")
	case len(c.Socket) > maxSocketPath:
		return fmt.Errorf("socket %s: %d bytes are too long for a unix socket (at most %d); name a shorter path with --socket", c.Socket, len(c.Socket), maxSocketPath)
	}
	switch c.Balancer {
	case BalancerDengine, BalancerHAProxy, BalancerNone:
	default:
		return fmt.Errorf("balancer %q: must be dengine, haproxy or none", c.Balancer)
	}
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		return fmt.Errorf("log level %q: must be debug, info, warn or error", c.LogLevel)
	}
	return nil
}

// checkNodes says why a number of nodes makes no cluster.
func checkNodes(n int) error {
	switch {
	case n < 1 || n > 7:
		return fmt.Errorf("%d nodes: must be 1, 3, 5 or 7", n)
	case n%2 == 0:
		return fmt.Errorf("%d nodes: must be 1, 3, 5 or 7; an even number survives no more crashes than %d", n, n-1)
	}
	return nil
}
