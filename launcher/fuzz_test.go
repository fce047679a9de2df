package launcher

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Whatever is asked for is refused, or is a plan in which no two ports are the same
// and a folder's name is nothing but a folder's name.
func FuzzPlan(f *testing.F) {
	f.Add(3, 0, "dengine", "/tmp/x", "--heartbeat-timeout=1s")
	f.Add(7, MaxPortOffset, "haproxy", "/tmp/a\nb", "")
	f.Add(1, 1<<40, "none", "", "--id")
	f.Fuzz(func(t *testing.T, nodes, offset int, balancer, dir, arg string) {
		cfg := DefaultConfig()
		cfg.Nodes, cfg.PortOffset, cfg.Balancer, cfg.NodeArgs, cfg.Socket = nodes, offset, Balancer(balancer), []string{arg}, "/s"
		dir = "/the-folder" + dir // what a configuration holds of it is not there by chance
		p, err := NewPlan(cfg, dir, Programs{Node: "n", Balancer: "b"})
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, a := range p.Addresses() {
			_, port, err := net.SplitHostPort(a.Addr)
			if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || seen[a.Addr] {
				t.Errorf("%d nodes at %d: %s is %s", nodes, offset, a.Purpose, a.Addr)
			}
			seen[a.Addr] = true
		}
		if len(p.Nodes) != nodes || p.Front != nil && p.Front.ConfigFile != "" && strings.Contains(p.Front.Config, dir) && strings.ContainsAny(dir, "\r\n") {
			t.Errorf("%+v", p)
		}
	})
}

// Whatever stands in a data folder's own file is refused by name, or names a
// cluster that can be started.
func FuzzRecall(f *testing.F) {
	f.Add([]byte(`{"nodes":5,"port_offset":100}`), 0, 100)
	f.Add([]byte(`{"nodes":4}`), 4, 0)
	f.Add([]byte(`null`), 0, 0)
	dir := f.TempDir()
	file := filepath.Join(dir, memoryName)
	f.Fuzz(func(t *testing.T, text []byte, nodes, offset int) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := (&folder{path: dir}).recall(nodes, offset)
		switch {
		case err != nil && !strings.Contains(err.Error(), dir):
			t.Errorf("%q: the error does not say where it is: %v", text, err)
		case err == nil && (checkNodes(n) != nil || nodes != 0 && n != nodes):
			t.Errorf("%q with %d: %d nodes", text, nodes, n)
		}
	})
}
