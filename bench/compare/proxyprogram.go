package main

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/dengine/dengine/internal/benchmark"
	"github.com/dengine/dengine/internal/harness"
)

// site is what a proxy stands in front of, and where it listens itself.
type site struct {
	Listen, Admin string // host:port
	Backends      []server
	Leader        string // host:port that writes go to; empty: to any
}

// server is one of the servers behind a proxy.
type server struct {
	Name, HTTP string
	Health     string // host:port of its checks
}

// HealthPort is that of its checks.
func (s server) HealthPort() string { return s.Health[strings.LastIndexByte(s.Health, ':')+1:] }

// proxy is a program that is compared.
type proxy struct {
	name    string   // the System of its figures
	people  string   // as people write it
	version []string // arguments that print it; none for ours
	config  string   // template of its configuration, of a site; empty: flags alone
	args    func(s site, dir, config string) []string
	spawns  bool // does its work in processes of its own
}

// The names of proxies, which are those of their Debian packages but for ours.
const (
	ours      = "dengine"
	noWorkers = "dengine without workers"
	haproxy   = "haproxy"
	nginx     = "nginx"
	caddy     = "caddy"
)

//go:embed proxyconf/haproxy.cfg
var haproxyConfig string

//go:embed proxyconf/nginx.conf
var nginxConfig string

//go:embed proxyconf/Caddyfile
var caddyConfig string

// proxies are all that are compared, ours as it is shipped first. In front of plain servers
// it stands there without its workers too: what they bring.
func (w workload) proxies() []proxy {
	if w.at == threeNodes {
		return append([]proxy{balancer(ours)}, rivals()...)
	}
	return append([]proxy{balancer(ours), balancer(noWorkers, "--workers", "0")}, rivals()...)
}

// rivals are made by others. Where one of them must be told what it cannot find out
// as we do, it is told: the comparison leans to its side.
func rivals() []proxy {
	return []proxy{
		{
			name: haproxy, people: "HAProxy", version: []string{"-v"}, config: haproxyConfig,
			args: func(_ site, _, config string) []string { return []string{"-f", config} },
		},
		{
			name: nginx, people: "nginx", version: []string{"-v"}, config: nginxConfig, spawns: true,
			args: func(_ site, dir, config string) []string {
				return []string{"-e", "stderr", "-p", dir, "-c", config}
			},
		},
		{
			name: caddy, people: "Caddy", version: []string{"version"}, config: caddyConfig,
			args: func(_ site, _, config string) []string {
				return []string{"run", "--adapter", "caddyfile", "--config", config}
			},
		},
	}
}

// balancer is ours with more flags.
func balancer(name string, flags ...string) proxy {
	return proxy{name: name, people: name, args: func(s site, _, _ string) []string {
		out := []string{"--listen", s.Listen, "--admin", s.Admin}
		for _, b := range s.Backends {
			out = append(out, "--backend", "id="+b.Name+",http="+b.HTTP+",health="+b.Health)
		}
		if s.Leader == "" { // as in front of any HTTP service without state
			out = append(out, "--health-mode", "poll", "--primary-path", "", "--replica-path", plainHealth, "--write-policy", "any")
		}
		return append(out, flags...)
	}}
}

// path is where the program is; an error says that it is not here.
func (p proxy) path(t harness.T) (string, error) {
	if p.version == nil {
		return filepath.Join(harness.Programs(t), "dengine-lb"), nil
	}
	return harness.Find(p.name)
}

// running is a proxy that runs.
type running struct {
	proxy
	addr string
	pids []int
}

// start runs a proxy in front of a site and waits until it listens.
func (p proxy) start(t harness.T, path string, s site) running {
	t.Helper()
	ports := harness.FreePorts(t, 2)
	s.Listen, s.Admin = ports[0], ports[1]
	dir, config := t.TempDir(), ""
	if p.config != "" {
		config = filepath.Join(dir, "config")
		text, err := render(p.config, s)
		if err == nil {
			err = os.WriteFile(config, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	process := harness.Foreign(t, dir, path, p.args(s, dir, config))
	process.Name = p.name
	harness.AwaitPort(t, p.name, s.Listen)
	r := running{proxy: p, addr: s.Listen, pids: []int{process.PID()}}
	if p.spawns {
		family, err := benchmark.Family(process.PID())
		if err != nil {
			t.Fatal(err)
		}
		r.pids = family
	}
	return r
}

// render fills in a template of a configuration.
func render(text string, s site) (string, error) {
	parsed, err := template.New("config").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = parsed.Execute(&out, s)
	return out.String(), err
}
