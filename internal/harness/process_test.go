package harness_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

// parentOf makes this test binary a program that starts a child in that
// folder and waits.
const parentOf = "HARNESS_TEST_PARENT"

// However its parent ends, a child does not outlive it.
func TestChildrenDieWithTheirParent(t *testing.T) {
	if dir := os.Getenv(parentOf); dir != "" {
		harness.Foreign(t, dir, "/bin/sh", []string{"-c", "echo $$ >child; exec sleep 600"})
		select {}
	}
	t.Parallel()
	dir := t.TempDir()
	parent := exec.Command(os.Args[0], "-test.run", "^TestChildrenDieWithTheirParent$")
	parent.Env = append(os.Environ(), parentOf+"="+dir)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	harness.Eventually(t, "the child", func() error {
		b, err := os.ReadFile(filepath.Join(dir, "child"))
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
		}
		return err
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it says that it was killed
	harness.Eventually(t, "the child's end", func() error {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signal 0 gives %w", err)
		}
		return nil
	})
}
