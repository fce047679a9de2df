package failover

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/dengine/dengine/internal/harness"
)

// Front is what stands between clients and nodes.
type Front struct {
	Name    string
	What    string   // for people
	program string   // that others make; empty for dengine's own
	version []string // arguments that print its version
	file    string   // its configuration, in testdata
	run     []string // arguments; FILE stands for the configuration
	env     string   // NAME of the variable that names the file of hold, in testdata
	hold    string
}

// Fronts returns all of them, dengine's own first.
func Fronts() []Front {
	return []Front{
		{Name: "dengine", What: "dengine-lb"},
		{
			Name: "haproxy", What: "HAProxy, reference configuration", program: "haproxy", version: []string{"-v"},
			file: "haproxy.cfg", run: []string{"-f", "FILE"},
		},
		{
			Name: "haproxy-tuned", What: "HAProxy, tuned, with the Lua action", program: "haproxy", version: []string{"-v"},
			file: "haproxy-tuned.cfg", run: []string{"-f", "FILE"}, env: "HOLD_LUA", hold: "haproxy-hold.lua",
		},
		{
			Name: "caddy", What: "Caddy, lb_try_duration", program: "caddy", version: []string{"version"},
			file: "Caddyfile", run: []string{"run", "--adapter", "caddyfile", "--config", "FILE"},
		},
	}
}

// Rival says that others make it.
func (f Front) Rival() bool { return f.program != "" }

// Version asks a rival for its version; the error says that it is not here.
func (f Front) Version() (string, error) { return harness.Version(f.program, f.version...) }

// start returns the address that clients use. The file in testdata is used as it
// is, but for the ports; it stands in the folder testdata.
func (f Front) start(t harness.T, c *harness.Cluster, testdata string) string {
	t.Helper()
	if !f.Rival() {
		return c.Front
	}
	path, err := harness.Find(f.program)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(testdata, f.file))
	if err != nil {
		t.Fatal(err)
	}
	addr := harness.FreePorts(t, 1)[0]
	dir := t.TempDir()
	file := filepath.Join(dir, f.file)
	if err := os.WriteFile(file, withPorts(text, c, addr), 0o600); err != nil {
		t.Fatal(err)
	}
	var args, env []string
	for _, a := range f.run {
		args = append(args, strings.ReplaceAll(a, "FILE", file))
	}
	if f.env != "" {
		hold, err := filepath.Abs(filepath.Join(testdata, f.hold))
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, f.env+"="+hold)
	}
	harness.Foreign(t, dir, path, args, env...)
	harness.AwaitPort(t, f.What, addr)
	return addr
}

var samplePort = regexp.MustCompile(`\b(8080|808[1-3]|1000[1-3])\b`)

// withPorts puts the ports of a cluster and its front in the place of those that
// the files in testdata name.
func withPorts(text []byte, c *harness.Cluster, front string) []byte {
	ports := map[string]string{"8080": port(front)}
	for i, p := range c.Nodes {
		ports[strconv.Itoa(8081+i)] = port(p.HTTP)
		ports[strconv.Itoa(10001+i)] = port(p.Health)
	}
	return samplePort.ReplaceAllFunc(text, func(b []byte) []byte { return []byte(ports[string(b)]) })
}

func port(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil { // the harness makes them
		panic(err)
	}
	return port
}
