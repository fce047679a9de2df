package harness

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// Program is a T for programs that are no tests. Clean-ups run when its body has
// ended, has failed, or is interrupted.
type Program struct {
	out    io.Writer
	name   string
	parent *Program // nil in the outermost

	mu       sync.Mutex
	problem  string // the first, empty where all is well
	cleanups []func()
	halted   bool
	logs     string // folder of what processes printed, once there is one
}

var _ T = (*Program)(nil)

// Main runs body, which may use the harness as a test does, and returns the
// program's exit code: 0, 1 where it failed, 130 where SIGINT or SIGTERM ended it.
// What body reports goes to out.
func Main(out io.Writer, body func(*Program)) int {
	p := &Program{out: out}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	done := make(chan struct{})
	go func() {
		defer close(done) // Fatal ends the goroutine
		body(p)
	}()
	select {
	case <-done:
	case s := <-signals:
		fmt.Fprintf(out, "%v: stopping what was started\n", s)
		p.halt()
		p.cleanup()
		return 130 // body goes on until the process ends; it can start nothing any more
	}
	p.cleanup()
	if p.Failed() {
		return 1
	}
	return 0
}

// Run runs body with a Program of its own, as testing.T's Run does, and returns
// its first problem, "" where there was none. It does not make p fail.
func (p *Program) Run(name string, body func(*Program)) (problem string) {
	sub := &Program{out: p.out, name: name, parent: p}
	p.Cleanup(sub.cleanup) // for an interrupt; finds nothing left otherwise
	done := make(chan struct{})
	go func() {
		defer close(done)
		body(sub)
	}()
	<-done
	sub.cleanup()
	return sub.problem
}

func (p *Program) halt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.halted = true
}

// Halted says that nothing may be started any more.
func (p *Program) Halted() bool {
	if p.parent != nil && p.parent.Halted() {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.halted
}

// cleanup runs what Cleanup was given, the last first.
func (p *Program) cleanup() {
	for {
		p.mu.Lock()
		if len(p.cleanups) == 0 {
			p.mu.Unlock()
			return
		}
		last := p.cleanups[len(p.cleanups)-1]
		p.cleanups = p.cleanups[:len(p.cleanups)-1]
		p.mu.Unlock()
		last()
	}
}

// Cleanup implements T.
func (p *Program) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, f)
}

// Helper implements T; a program prints no line numbers.
func (p *Program) Helper() {}

// Logf implements T. What is said after an interrupt is only its echo.
func (p *Program) Logf(format string, args ...any) {
	if p.Halted() {
		return
	}
	where := ""
	if p.name != "" {
		where = p.name + ": "
	}
	fmt.Fprintf(p.out, "%s%s\n", where, strings.TrimSuffix(fmt.Sprintf(format, args...), "\n"))
}

// Errorf implements T.
func (p *Program) Errorf(format string, args ...any) {
	p.mu.Lock()
	if p.problem == "" {
		p.problem = fmt.Sprintf(format, args...)
	}
	p.mu.Unlock()
	p.Logf(format, args...)
}

// Fatal implements T.
func (p *Program) Fatal(args ...any) {
	p.Errorf("%s", strings.TrimSuffix(fmt.Sprintln(args...), "\n"))
	runtime.Goexit()
}

// Fatalf implements T.
func (p *Program) Fatalf(format string, args ...any) {
	p.Errorf(format, args...)
	runtime.Goexit()
}

// Failed implements T.
func (p *Program) Failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.problem != ""
}

// TempDir implements T.
func (p *Program) TempDir() string {
	if p.Halted() {
		runtime.Goexit()
	}
	dir, err := os.MkdirTemp("", "dengine-")
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			p.Errorf("clean up: %v", err)
		}
	})
	return dir
}

// Keep writes what a process printed into a folder that stays, and says where
// that is.
func (p *Program) Keep(name, text string) {
	if p.Halted() {
		return
	}
	dir, err := p.logFolder()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".log"), []byte(text), 0o600)
	}
	if err != nil {
		p.Errorf("keep the log of %s: %v", name, err)
	}
}

// logFolder returns the folder, which it makes and tells of the first time.
func (p *Program) logFolder() (string, error) {
	p.mu.Lock()
	dir, err := p.logs, error(nil)
	if dir == "" {
		dir, err = os.MkdirTemp("", "dengine-logs-")
		p.logs = dir
		defer p.Logf("what the processes printed is kept in %s", dir)
	}
	p.mu.Unlock()
	return dir, err
}
