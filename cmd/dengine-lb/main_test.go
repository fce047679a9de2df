package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dengine/dengine/internal/harness"
	"github.com/dengine/dengine/lb"
)

// asProgram makes the test binary be the program.
const asProgram = "DENGINE_LB_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		main()
		return
	}
	code := m.Run()
	harness.Cleanup()
	os.Exit(code)
}

const deadline = time.Minute

// program is a running dengine-lb.
type program struct {
	cmd  *exec.Cmd
	out  output // stdout and stderr
	done chan struct{}
	err  error
}

// output may be read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: exec.Command(exe, args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.done); p.err = p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("output of %v:\n%s", args, p.out.String())
		}
	})
	return p
}

func (p *program) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait returns the exit code and all that was printed.
func (p *program) wait(t *testing.T) (int, string) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(deadline):
		t.Fatal("the program does not end")
	}
	return p.cmd.ProcessState.ExitCode(), p.out.String()
}

// freeAddr is an address that nobody else gets before the test ends.
func freeAddr(t *testing.T) string {
	t.Helper()
	return harness.FreePorts(t, 1)[0]
}

func status(admin string) (lb.Status, error) {
	var s lb.Status
	c := http.Client{Timeout: deadline, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + admin + "/status")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(deadline); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "bad.toml")
	if err := os.WriteFile(file, []byte("no_such = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"dengine-lb: hold timeout: must be at least 0": {"--hold-timeout", "-1s"},
		"want a duration":                    {"--drain-timeout", "soon"},
		"flag provided but not defined":      {"--nonsense"},
		`unexpected argument "x"`:            {"x"},
		`unknown key "port"`:                 {"--backend", "port=1"},
		"http is missing":                    {"--backend", "id=a"},
		`unknown setting "no_such"`:          {"--config", file},
		`"sideways": want leader or any`:     {"--write-policy", "sideways"},
		`backend "nowhere": must be host:po`: {"--backend", "http=nowhere"},
	} {
		p := start(t, args...)
		code, out := p.wait(t)
		if code != 1 || !strings.Contains(out, want) || !strings.HasPrefix(out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:], "dengine-lb: ") {
			t.Errorf("%v: exit %d, %q; want %q", args, code, out, want)
		}
	}
}

func TestCheckPrintsWhatIsInForce(t *testing.T) {
	t.Parallel()
	p := start(t, "--check", "--backend", "http=127.0.0.1:1", "--hold-timeout", "3s", "--identities=false", "--read-your-writes")
	code, out := p.wait(t)
	if code != 0 || !strings.Contains(out, `"http=127.0.0.1:1"`) || !strings.Contains(out, `hold_timeout = "3s"`) || !strings.Contains(out, "identities = false") || !strings.Contains(out, "read_your_writes = true") || strings.Contains(out, "8081") {
		t.Errorf("exit %d, %q", code, out)
	}
	if code, out := start(t, "--version").wait(t); code != 0 || !strings.Contains(out, "dengine-lb version") {
		t.Errorf("--version: exit %d, %q", code, out)
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	code, out := start(t, "--listen", ln.Addr().String(), "--admin", "127.0.0.1:0").wait(t)
	if code != 1 || !strings.Contains(out, "dengine-lb: listen for clients: ") || !strings.Contains(out, ln.Addr().String()) {
		t.Errorf("exit %d, %q", code, out)
	}
}

func TestReloadAndEndBySignal(t *testing.T) {
	t.Parallel()
	admin, listen := freeAddr(t), freeAddr(t)
	file := filepath.Join(t.TempDir(), "lb.toml")
	save := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	backend := func(id, addr string) string {
		return fmt.Sprintf("[[backend]]\nid = %q\nhttp = %q\n", id, addr)
	}
	save(backend("first", freeAddr(t)))
	p := start(t, "--listen", listen, "--admin", admin, "--config", file, "--log-format", "json", "--drain-timeout", "10s")
	backendIs := func(id string) func() bool {
		return func() bool {
			s, err := status(admin)
			return err == nil && len(s.Backends) == 1 && s.Backends[0].ID == id
		}
	}
	eventually(t, "the program to serve", backendIs("first"))

	save(backend("second", freeAddr(t)))
	p.signal(t, syscall.SIGHUP)
	eventually(t, "the new settings", backendIs("second"))

	save("hold_timeout = 7\n")
	p.signal(t, syscall.SIGHUP)
	eventually(t, "the refusal of a bad file", func() bool { return strings.Contains(p.out.String(), "reload failed") })
	if !backendIs("second")() {
		t.Error("the old settings are gone after a bad file")
	}
	save(backend("third", freeAddr(t)))
	p.signal(t, syscall.SIGHUP)
	eventually(t, "the settings after a bad file", backendIs("third"))

	p.signal(t, syscall.SIGTERM)
	if code, out := p.wait(t); code != 0 {
		t.Errorf("exit %d, %q", code, out)
	}
}

// What is still in flight at the end of the drain timeout costs exit status 1.
func TestDrainTimeoutIsAnError(t *testing.T) {
	t.Parallel()
	admin, listen := freeAddr(t), freeAddr(t)
	p := start(t, "--listen", listen, "--admin", admin, "--backend", "http="+freeAddr(t), "--drain-timeout", "200ms")
	eventually(t, "the program to serve", func() bool { _, err := status(admin); return err == nil })
	c, err := net.Dial("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the write to be held", func() bool { s, err := status(admin); return err == nil && s.Held.Now == 1 })
	p.signal(t, syscall.SIGTERM)
	if code, out := p.wait(t); code != 1 || !strings.Contains(out, "dengine-lb: requests were still in flight") {
		t.Errorf("exit %d, %q", code, out)
	}
	if answer, _ := io.ReadAll(c); !strings.HasPrefix(string(answer), "HTTP/1.1 503") || !strings.Contains(string(answer), "Dengine-Outcome: not-applied") {
		t.Errorf("the held write got %q", answer)
	}
}
