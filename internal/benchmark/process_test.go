package benchmark_test

import (
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/dengine/dengine/internal/benchmark"
)

// What a program does in processes of its own is its doing, as long as they run.
func TestFamily(t *testing.T) {
	t.Parallel()
	child := exec.Command("cat")
	hold, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	self := os.Getpid()
	family, err := benchmark.Family(self)
	if err != nil || family[0] != self || !slices.Contains(family, child.Process.Pid) {
		t.Errorf("%v, %v; want %d first, and %d", family, err, self, child.Process.Pid)
	}
	if slices.Contains(family, os.Getppid()) {
		t.Error("who started it belongs to it")
	}
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	if family, err = benchmark.Family(self); err != nil || slices.Contains(family, child.Process.Pid) {
		t.Errorf("%v, %v; %d has ended", family, err, child.Process.Pid)
	}
	if _, err := benchmark.Family(1 << 30); err == nil {
		t.Error("a process that is not there has a family")
	}
}

// Memory that is written is resident.
func TestResident(t *testing.T) {
	const much = 64 << 20
	before, err := benchmark.Resident(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, much)
	for i := 0; i < much; i += 4096 {
		block[i] = 1
	}
	after, err := benchmark.Resident(os.Getpid())
	if err != nil || after-before < much/2 || after-before > 4*much {
		t.Errorf("%d B more, %v, after %d B were written", after-before, err, len(block))
	}
	twice, err := benchmark.Resident(os.Getpid(), os.Getpid())
	if err != nil || twice < after*3/2 {
		t.Errorf("%d B of two, %d B of one; %v", twice, after, err)
	}
	if _, err := benchmark.Resident(1 << 30); err == nil {
		t.Error("a process that is not there holds memory")
	}
}
