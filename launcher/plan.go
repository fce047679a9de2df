package launcher

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
)

// Ports before the offset is added; node i (from 1) has base + i.
const (
	host       = "127.0.0.1"
	baseHTTP   = 8080
	baseHealth = 10000
	baseRaft   = 9080
	frontPort  = 8080
	adminPort  = 8088
)

// frontName is the balancer's name beside those of the nodes.
const frontName = "lb"

// Process is one program to run.
type Process struct {
	Name    string   // n1, n2, …, lb
	Path    string   // of the program
	Args    []string // without the program's name
	LogFile string   // takes what it writes to stdout and stderr
}

// Node is one planned node. Addresses are host:port.
type Node struct {
	Process
	Dir    string // its data
	HTTP   string
	Health string
	Raft   string
}

// Front is the planned balancer.
type Front struct {
	Process
	Kind  Balancer
	HTTP  string // where clients go
	Admin string
	// ConfigFile and Config are the file to write before the start; empty for
	// a balancer that is told everything by its arguments.
	ConfigFile string
	Config     string
}

// Plan is everything that Run is about to start.
type Plan struct {
	Dir   string // data and logs
	Nodes []Node
	Front *Front // nil for BalancerNone
}

// Programs are paths of what the plan starts.
type Programs struct {
	Node     string
	Balancer string // dengine-lb or haproxy
}

// NewPlan lays out cfg's cluster in dir. It is a pure function: it looks at no
// file and no port. cfg.Nodes must be set.
func NewPlan(cfg Config, dir string, programs Programs) (Plan, error) {
	if err := checkNodes(cfg.Nodes); err != nil {
		return Plan{}, err
	}
	if err := cfg.Validate(); err != nil {
		return Plan{}, err
	}
	p := Plan{Dir: dir}
	at := func(port int) string { return net.JoinHostPort(host, strconv.Itoa(port+cfg.PortOffset)) }
	for i := 1; i <= cfg.Nodes; i++ {
		name := "n" + strconv.Itoa(i)
		p.Nodes = append(p.Nodes, Node{
			Process: Process{Name: name, Path: programs.Node, LogFile: logFile(dir, name)},
			Dir:     filepath.Join(dir, name),
			HTTP:    at(baseHTTP + i),
			Health:  at(baseHealth + i),
			Raft:    at(baseRaft + i),
		})
	}
	for i := range p.Nodes {
		p.Nodes[i].Args = nodeArgs(p.Nodes[i], p.Nodes, cfg)
	}
	if cfg.Balancer == BalancerNone {
		return p, nil
	}
	p.Front = &Front{
		Process: Process{Name: frontName, Path: programs.Balancer, LogFile: logFile(dir, frontName)},
		Kind:    cfg.Balancer,
		HTTP:    at(frontPort),
		Admin:   at(adminPort),
	}
	if cfg.Balancer == BalancerHAProxy {
		p.Front.ConfigFile = filepath.Join(dir, "haproxy.cfg")
		p.Front.Config = haproxyConfig(p)
		p.Front.Args = []string{"-db", "-f", p.Front.ConfigFile}
		return p, nil
	}
	p.Front.Args = lbArgs(*p.Front, p.Nodes, cfg)
	return p, nil
}

func logsDir(dir string) string       { return filepath.Join(dir, "logs") }
func logFile(dir, name string) string { return filepath.Join(logsDir(dir), name+".log") }

func nodeArgs(n Node, all []Node, cfg Config) []string {
	args := []string{
		"--id", n.Name,
		"--data-dir", n.Dir,
		"--raft-listen", n.Raft,
		"--http-listen", n.HTTP,
		"--health-listen", n.Health,
	}
	for _, m := range all {
		args = append(args, "--initial-cluster",
			fmt.Sprintf("id=%s,raft=%s,http=%s,health=%s", m.Name, m.Raft, m.HTTP, m.Health))
	}
	args = append(args, "--log-level", cfg.LogLevel, "--log-format", "json")
	return append(args, cfg.NodeArgs...)
}

func lbArgs(f Front, nodes []Node, cfg Config) []string {
	args := []string{"--listen", f.HTTP, "--admin", f.Admin}
	for _, n := range nodes {
		args = append(args, "--backend", fmt.Sprintf("id=%s,http=%s,health=%s", n.Name, n.HTTP, n.Health))
	}
	return append(args, "--log-level", cfg.LogLevel, "--log-format", "json")
}

// Address is one port of a plan and what it is for.
type Address struct {
	Owner   string // name of the process
	Purpose string // for people: "HTTP of n1"
	Addr    string
}

// Addresses lists every port of the plan, node by node, then the balancer's.
func (p Plan) Addresses() []Address {
	var out []Address
	for _, n := range p.Nodes {
		out = append(out, n.addresses()...)
	}
	if p.Front != nil {
		out = append(out, p.Front.addresses()...)
	}
	return out
}

func (n Node) addresses() []Address {
	return []Address{
		{n.Name, "HTTP of " + n.Name, n.HTTP},
		{n.Name, "health of " + n.Name, n.Health},
		{n.Name, "Raft of " + n.Name, n.Raft},
	}
}

func (f Front) addresses() []Address {
	return []Address{
		{f.Name, "HTTP of the balancer", f.HTTP},
		{f.Name, "admin of the balancer", f.Admin},
	}
}
