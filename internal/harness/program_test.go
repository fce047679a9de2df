package harness_test

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

func TestProgramFailsAndCleansUp(t *testing.T) {
	var out bytes.Buffer
	var order []string
	var dir string
	code := harness.Main(&out, func(p *harness.Program) {
		p.Cleanup(func() { order = append(order, "outer") })
		problem := p.Run("part", func(p *harness.Program) {
			dir = p.TempDir()
			p.Cleanup(func() { order = append(order, "inner") })
			p.Fatalf("broke at %d", 7)
		})
		if problem != "broke at 7" || p.Failed() {
			t.Errorf("problem %q, outer failed %t", problem, p.Failed())
		}
		p.Errorf("so it fails")
	})
	if code != 1 || strings.Join(order, " ") != "inner outer" {
		t.Errorf("code %d, clean-ups %v", code, order)
	}
	if !strings.Contains(out.String(), "part: broke at 7") {
		t.Errorf("printed %q", out.String())
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

// An interrupt ends what runs, though the body itself never ends.
func TestProgramInterrupted(t *testing.T) {
	started := make(chan *harness.Process, 1)
	forever := make(chan struct{})
	code := harness.Main(&bytes.Buffer{}, func(p *harness.Program) {
		p.Run("part", func(p *harness.Program) {
			started <- harness.Foreign(p, p.TempDir(), "/bin/sleep", []string{"600"})
			if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
				t.Error(err)
			}
			<-forever
		})
	})
	p1 := <-started
	if code != 130 || p1.Running() {
		t.Errorf("code %d, the child runs: %t", code, p1.Running())
	}
	p1.Start()
	if p1.Running() {
		p1.Kill()
		t.Error("something was started after the interrupt")
	}
}
