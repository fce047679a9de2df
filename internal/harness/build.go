package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
)

// builder builds the programs once for a test binary or a benchmark.
type builder struct {
	flags []string
	once  sync.Once
	dir   string
	err   error
}

// The programs as they are shipped, and with faults that can be caused in them
// from outside.
var shipped, faulty = &builder{}, &builder{flags: []string{"-tags", "faults"}}

// Programs builds the programs once and returns their folder.
func Programs(t T) string {
	t.Helper()
	return shipped.programs(t)
}

// FaultyPrograms are the programs built with the tag faults: their nodes look for
// a file "fault" in their data folder (node/faults.go).
func FaultyPrograms(t T) string {
	t.Helper()
	return faulty.programs(t)
}

func (b *builder) programs(t T) string {
	t.Helper()
	b.once.Do(func() { b.dir, b.err = compile(b.flags) })
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.dir
}

func compile(flags []string) (string, error) {
	dir, err := os.MkdirTemp("", "dengine-bin-")
	if err != nil {
		return "", err
	}
	args := append([]string{"build", "-o", dir + "/"}, flags...)
	if Race {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "github.com/dengine/dengine/cmd/...")...).CombinedOutput()
	if err != nil {
		return "", errors.Join(fmt.Errorf("build the programs: %w\n%s", err, out), os.RemoveAll(dir))
	}
	return dir, nil
}

// Cleanup removes the built programs; TestMain calls it at the end, and so does a
// program that uses Main.
func Cleanup() {
	for _, b := range []*builder{shipped, faulty} {
		b.once.Do(func() { b.err = errors.New("the programs have been removed") })
		if b.dir != "" {
			os.RemoveAll(b.dir)
		}
	}
}
