package launcher_test

import (
	"bytes"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dengine/dengine/launcher"
)

func TestHAProxyInFront(t *testing.T) {
	t.Parallel()
	needHAProxy(t)
	c := up(t, func(cfg *launcher.Config) { cfg.Balancer = launcher.BalancerHAProxy })
	s := c.status()
	if s.Balancer.Kind != launcher.BalancerHAProxy {
		t.Errorf("%+v", s.Balancer)
	}
	file := filepath.Join(s.Dir, "haproxy.cfg")
	if out, err := exec.Command(haproxy(), "-c", "-f", file).CombinedOutput(); err != nil || bytes.Contains(out, []byte("WARNING")) {
		t.Errorf("haproxy -c: %v\n%s", err, out)
	}
	c.do(launcher.ActionKill, "leader")
	eventually(t, "a write succeeds under the next leader", func() bool {
		resp, err := http.Post("http://"+s.Balancer.HTTP+"/kv", "application/json", strings.NewReader(`{"key":"a","value":"b"}`))
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	c.do(launcher.ActionRestart, "lb")
	c.cancel()
	if err := c.waitEnd(); err != nil {
		t.Error(err)
	}
	gone(t, c.cfg, pids(s))
}

// haproxy is where it is installed, "" if it is not.
func haproxy() string {
	for _, path := range []string{"haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy"} {
		if path, err := exec.LookPath(path); err == nil {
			return path
		}
	}
	return ""
}

func needHAProxy(t *testing.T) {
	t.Helper()
	if haproxy() == "" {
		t.Fatal("HAProxy is not installed: apt-get install haproxy")
	}
}

func TestNoBalancer(t *testing.T) {
	t.Parallel()
	c := up(t, func(cfg *launcher.Config) { cfg.Balancer, cfg.LBBin = launcher.BalancerNone, "" })
	if s := c.led(); s.Balancer != nil {
		t.Errorf("%+v", s)
	}
	c.refused(launcher.ActionKill, "lb", `nothing is called "lb"`)
}
