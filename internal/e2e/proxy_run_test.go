package e2e

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

const proxyFront = "127.0.0.1:8080" // where every sample configuration listens

// sample is a configuration in testdata for a program that others make.
type sample struct {
	name    string
	program string
	check   []string // arguments that only check the file
	run     []string
	env     []string // NAME=value
	// courteous: it answers in the nodes' words where it answers itself, retries
	// reads, and takes every method that is no read for a write. The reference
	// configuration does none of it.
	courteous bool
	// hangsUp: when a node breaks a connection in the middle of a request, the
	// client's connection is closed without an answer, unless the request was the
	// first on it. HAProxy has no setting for that.
	hangsUp bool
}

// FILE, DIR and TESTDATA in arguments and environment stand for the sample's
// file, a folder that the program may write to, and the folder testdata.
var samples = []sample{
	{
		name: "haproxy.cfg", program: "haproxy", hangsUp: true,
		check: []string{"-c", "-f", "FILE"}, run: []string{"-f", "FILE"},
	},
	{
		name: "haproxy-tuned.cfg", program: "haproxy", courteous: true, hangsUp: true,
		check: []string{"-c", "-f", "FILE"}, run: []string{"-f", "FILE"},
	},
	{
		name: "haproxy-tuned.cfg", program: "haproxy", courteous: true, hangsUp: true, env: []string{"HOLD_LUA=TESTDATA/haproxy-hold.lua"},
		check: []string{"-c", "-f", "FILE"}, run: []string{"-f", "FILE"},
	},
	{
		name: "nginx.conf", program: "nginx", courteous: true,
		check: []string{"-e", "stderr", "-p", "DIR", "-t", "-c", "FILE"}, run: []string{"-e", "stderr", "-p", "DIR", "-c", "FILE"},
	},
	{
		name: "Caddyfile", program: "caddy", courteous: true,
		check: []string{"validate", "--adapter", "caddyfile", "--config", "FILE"}, run: []string{"run", "--config", "FILE"},
	},
}

func repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// find is the program's path. A missing program fails the test: a sample that
// nobody runs is not known to work.
func (s sample) find(t *testing.T) string {
	t.Helper()
	path, err := harness.Find(s.program)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// filled puts paths in the place of FILE, DIR and TESTDATA.
func (s sample) filled(t *testing.T, texts []string, dir string) []string {
	t.Helper()
	testdata := filepath.Join(repository(t), "testdata")
	names := strings.NewReplacer("FILE", filepath.Join(testdata, s.name), "DIR", dir, "TESTDATA", testdata)
	var out []string
	for _, text := range texts {
		out = append(out, names.Replace(text))
	}
	return out
}

// accepts lets the program itself check the file.
func (s sample) accepts(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(s.find(t), s.filled(t, s.check, dir)...)
	cmd.Env = append(harness.QuietEnv(dir), s.filled(t, s.env, dir)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s refuses testdata/%s: %v\n%s", s.program, s.name, err, out)
	}
}

// start runs the program with its sample until the test ends.
func (s sample) start(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	harness.Foreign(t, dir, s.find(t), s.filled(t, s.run, dir), s.filled(t, s.env, dir)...)
	harness.AwaitPort(t, s.program, proxyFront)
}

// fixedPorts waits until the ports that the samples name are free: they may be
// about to be, when another cluster is on its way out.
func fixedPorts(t *testing.T) {
	t.Helper()
	harness.Eventually(t, "ports that the files in testdata name (is dengine-up running? end it with: make down)", func() error {
		var busy []error
		for _, port := range []int{8080, 8081, 8082, 8083, 9081, 9082, 9083, 10001, 10002, 10003} {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				busy = append(busy, err)
				continue
			}
			ln.Close()
		}
		return errors.Join(busy...)
	})
}
