package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/dengine/dengine/internal/harness"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite golden files")

// nodeFile is what the sample settings of a node say about addresses.
type nodeFile struct {
	ID             string `toml:"id"`
	DataDir        string `toml:"data_dir"`
	HTTPListen     string `toml:"http_listen"`
	HealthListen   string `toml:"health_listen"`
	RaftListen     string `toml:"raft_listen"`
	InitialCluster []struct {
		ID     string `toml:"id"`
		Raft   string `toml:"raft"`
		HTTP   string `toml:"http"`
		Health string `toml:"health"`
	} `toml:"initial_cluster"`
}

// nodeFiles reads n1.toml, n2.toml and n3.toml.
func nodeFiles(t *testing.T) []nodeFile {
	t.Helper()
	var out []nodeFile
	for i := range 3 {
		var f nodeFile
		if _, err := toml.DecodeFile(filepath.Join(repository(t), "testdata", fmt.Sprintf("n%d.toml", i+1)), &f); err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// Each node listens where all three say that it does.
func TestNodeFilesAgree(t *testing.T) {
	t.Parallel()
	files := nodeFiles(t)
	for i, f := range files {
		if !slices.Equal(f.InitialCluster, files[0].InitialCluster) {
			t.Errorf("n%d.toml has another initial_cluster than n1.toml", i+1)
		}
		if len(f.InitialCluster) != 3 {
			t.Fatalf("n%d.toml names %d nodes, want 3", i+1, len(f.InitialCluster))
		}
		own := f.InitialCluster[i]
		if own.ID != f.ID || own.HTTP != f.HTTPListen || own.Health != f.HealthListen || own.Raft != f.RaftListen {
			t.Errorf("n%d.toml listens elsewhere than initial_cluster says: %+v", i+1, f)
		}
		if f.DataDir != "data/"+f.ID {
			t.Errorf("n%d.toml keeps its data in %q", i+1, f.DataDir)
		}
	}
}

// --check prints every setting that is in force and where it comes from.
func TestNodeFileCheck(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(filepath.Join(harness.Programs(t), "dengine-node"), "--config", "testdata/n1.toml", "--check")
	cmd.Dir, cmd.Env = repository(t), harness.QuietEnv(t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	got, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("dengine-node --check: %v\n%s", err, stderr.String())
	}
	golden := filepath.Join(repository(t), "testdata", "n1.check.golden")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("--check prints\n%s\nwant\n%s\n(go test ./internal/e2e -run TestNodeFileCheck -update rewrites it)", got, want)
	}
}

// Three nodes started from the files as they are, in a folder of their own, find
// a leader and replicate.
func TestNodeFilesStart(t *testing.T) {
	fixedPorts(t)
	dir := t.TempDir()
	for _, f := range nodeFiles(t) {
		harness.Foreign(t, dir, filepath.Join(harness.Programs(t), "dengine-node"),
			[]string{"--config", filepath.Join(repository(t), "testdata", f.ID+".toml")})
	}
	c := harness.Prepare(t, harness.Options{NoLB: true, Standard: true}) // for its client: nothing is started
	rolesByHealthPort(c)
	harness.Eventually(t, "a node to take the write", func() error {
		var last harness.Answer
		for _, f := range nodeFiles(t) { // the leader takes it, the others refuse
			if last = c.Do("PUT", "http://"+f.HTTPListen+"/kv/username", "alice"); last.Status == 200 {
				return nil
			}
		}
		return fmt.Errorf("%+v", last)
	})
	for _, f := range nodeFiles(t) {
		becomes(c, "GET", "http://"+f.HTTPListen+"/kv/username", "", 200, `{"value":"alice"}`)
		if _, err := os.Stat(filepath.Join(dir, f.DataDir)); err != nil {
			t.Errorf("%s keeps its data elsewhere: %v", f.ID, err)
		}
	}
}

// envoyFile is the part of Envoy's configuration that must fit the nodes.
type envoyFile struct {
	Static struct {
		Listeners []struct {
			Address      envoyAddress `yaml:"address"`
			FilterChains []struct {
				Filters []struct {
					Config struct {
						RouteConfig struct {
							VirtualHosts []struct {
								Routes []envoyRoute `yaml:"routes"`
							} `yaml:"virtual_hosts"`
						} `yaml:"route_config"`
					} `yaml:"typed_config"`
				} `yaml:"filters"`
			} `yaml:"filter_chains"`
		} `yaml:"listeners"`
		Clusters []envoyCluster `yaml:"clusters"`
	} `yaml:"static_resources"`
}

type envoyAddress struct {
	Socket struct {
		Address string `yaml:"address"`
		Port    int    `yaml:"port_value"`
	} `yaml:"socket_address"`
}

func (a envoyAddress) String() string {
	return net.JoinHostPort(a.Socket.Address, strconv.Itoa(a.Socket.Port))
}

type envoyRoute struct {
	Match struct {
		Prefix  string `yaml:"prefix"`
		Headers []struct {
			Name   string `yaml:"name"`
			String struct {
				Regex struct {
					Regex string `yaml:"regex"`
				} `yaml:"safe_regex"`
			} `yaml:"string_match"`
		} `yaml:"headers"`
	} `yaml:"match"`
	Route struct {
		Cluster string `yaml:"cluster"`
		Retry   struct {
			On string `yaml:"retry_on"`
		} `yaml:"retry_policy"`
	} `yaml:"route"`
}

type envoyCluster struct {
	Name   string `yaml:"name"`
	Common struct {
		Panic *struct {
			Value float64 `yaml:"value"`
		} `yaml:"healthy_panic_threshold"`
	} `yaml:"common_lb_config"`
	Checks []struct {
		HTTP struct {
			Path string `yaml:"path"`
		} `yaml:"http_health_check"`
	} `yaml:"health_checks"`
	Load struct {
		Name      string `yaml:"cluster_name"`
		Endpoints []struct {
			LB []struct {
				Endpoint struct {
					Address envoyAddress `yaml:"address"`
					Health  struct {
						Port int `yaml:"port_value"`
					} `yaml:"health_check_config"`
				} `yaml:"endpoint"`
			} `yaml:"lb_endpoints"`
		} `yaml:"endpoints"`
	} `yaml:"load_assignment"`
}

// Envoy's file names the nodes' addresses and health paths, sends writes by
// method to who is primary, and never repeats one that was sent.
func TestEnvoyFile(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(repository(t), "testdata", "envoy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var f envoyFile
	if err := yaml.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	if l := f.Static.Listeners; len(l) != 1 || l[0].Address.String() != proxyFront ||
		len(l[0].FilterChains) != 1 || len(l[0].FilterChains[0].Filters) != 1 ||
		len(l[0].FilterChains[0].Filters[0].Config.RouteConfig.VirtualHosts) != 1 {
		t.Fatalf("want one listener on %s with one filter and one virtual host: %+v", proxyFront, l)
	}

	nodes := map[string]string{} // HTTP address to health address
	for _, n := range nodeFiles(t) {
		nodes[n.HTTPListen] = n.HealthListen
	}
	paths := map[string]string{} // cluster to health path
	for _, c := range f.Static.Clusters {
		if len(c.Checks) != 1 || c.Load.Name != c.Name || len(c.Load.Endpoints) != 1 {
			t.Fatalf("want one check and one set of endpoints, under the cluster's name: %+v", c)
		}
		paths[c.Name] = c.Checks[0].HTTP.Path
		got := map[string]string{}
		for _, e := range c.Load.Endpoints[0].LB {
			a := e.Endpoint.Address
			got[a.String()] = net.JoinHostPort(a.Socket.Address, strconv.Itoa(e.Endpoint.Health.Port))
		}
		if !maps.Equal(got, nodes) {
			t.Errorf("cluster %s has endpoints and health ports %v, the nodes have %v", c.Name, got, nodes)
		}
		// Above 33 % Envoy would take two unhealthy followers for a disaster and
		// send writes to all three.
		if p := c.Common.Panic; c.Checks[0].HTTP.Path == "/primary" && (p == nil || p.Value != 0) {
			t.Errorf("cluster %s must not fall back to nodes that are not primary", c.Name)
		}
	}

	routes := f.Static.Listeners[0].FilterChains[0].Filters[0].Config.RouteConfig.VirtualHosts[0].Routes
	if len(routes) != 2 {
		t.Fatalf("want a route for reads and one for the rest: %+v", routes)
	}
	reads, writes := routes[0], routes[1]
	if h := reads.Match.Headers; len(h) != 1 || h[0].Name != ":method" || h[0].String.Regex.Regex != "GET|HEAD|OPTIONS" {
		t.Errorf("reads are matched by %+v", h)
	}
	if got := paths[reads.Route.Cluster]; got != "/readyz" {
		t.Errorf("reads go to nodes that pass %q", got)
	}
	if len(writes.Match.Headers) != 0 || writes.Match.Prefix != "/" {
		t.Errorf("writes are matched by %+v, want everything that is left", writes.Match)
	}
	if got := paths[writes.Route.Cluster]; got != "/primary" {
		t.Errorf("writes go to nodes that pass %q", got)
	}
	if got := writes.Route.Retry.On; got != "connect-failure" {
		t.Errorf("writes are sent again on %q", got)
	}
}
