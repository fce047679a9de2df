package harness

import (
	"bytes"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Process is one program of the cluster.
type Process struct {
	Name   string
	HTTP   string // host:port of the API, for nodes
	Health string // host:port of the health port
	Raft   string
	Dir    string // data folder of a node

	t    T
	path string
	args []string
	env  []string // this process's own where it is nil
	dir  string   // to run in; this process's own where it is empty

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
	log  bytes.Buffer
	run  int  // where its last run begins in the log
	dies bool // it was sent SIGKILL, and not started since

	orders orders // faults that it is to have
}

// Start starts the program, again or for the first time.
func (p *Process) Start() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if h, ok := p.t.(halter); ok && h.Halted() {
		return
	}
	cmd := exec.Command(p.path, p.args...)
	cmd.Env, cmd.Dir = p.env, p.dir
	w := &tee{p: p}
	cmd.Stdout, cmd.Stderr = w, w
	// A group of its own, so that Ctrl-C reaches only who started it, and death
	// with whoever started it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started, done, began := make(chan error, 1), make(chan struct{}), p.log.Len()
	go func() {
		defer close(done)
		runtime.LockOSThread() // Linux sends Pdeathsig when the thread ends that started the program
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its state
		}
	}()
	if err := <-started; err != nil {
		p.t.Fatalf("start %s: %v", p.Name, err)
	}
	p.cmd, p.done, p.run, p.dies = cmd, done, began, false
}

// tee appends a program's output to its log.
type tee struct{ p *Process }

func (w *tee) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.p.log.Write(b)
}

// raceReport is how a program built with the race detector says what it found.
const raceReport = "WARNING: DATA RACE"

// Log is everything that the program has printed.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Said is what the program has printed since it was last started.
func (p *Process) Said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.log.Bytes()[p.run:])
}

// showLog shows what the program has printed, where its test has failed.
func (p *Process) showLog() {
	if !p.t.Failed() {
		return
	}
	if k, ok := p.t.(keeper); ok {
		k.Keep(p.Name, p.Log())
		return
	}
	p.t.Logf("log of %s:\n%s", p.Name, p.Log())
}

// Running says whether the program was started and has not ended.
func (p *Process) Running() bool {
	_, done := p.current()
	if done == nil {
		return false
	}
	select {
	case <-done:
		return false
	default:
		return true
	}
}

// Ended is the exit code of a program that has ended, -1 where a signal ended it.
func (p *Process) Ended() int {
	cmd, done := p.current()
	<-done
	return cmd.ProcessState.ExitCode()
}

func (p *Process) current() (*exec.Cmd, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd, p.done
}

// PID is the process id of the program, which must have been started.
func (p *Process) PID() int {
	cmd, _ := p.current()
	return cmd.Process.Pid
}

// Signal sends a signal to the running program.
func (p *Process) Signal(s syscall.Signal) {
	if cmd, _ := p.current(); p.Running() {
		_ = cmd.Process.Signal(s) // it may just have ended
	}
}

// Kill ends the program with SIGKILL and waits for it.
func (p *Process) Kill() {
	p.mu.Lock()
	p.dies = true
	p.mu.Unlock()
	p.end(syscall.SIGKILL)
}

func (p *Process) dying() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dies
}

// Stop ends the program with SIGTERM, waits for it, and returns its exit code.
func (p *Process) Stop() int {
	p.t.Helper()
	p.end(syscall.SIGTERM)
	cmd, _ := p.current()
	return cmd.ProcessState.ExitCode()
}

func (p *Process) end(s syscall.Signal) {
	_, done := p.current()
	if done == nil {
		return
	}
	p.Signal(s)
	select {
	case <-done:
	case <-time.After(Patience):
		cmd, _ := p.current()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with whatever it has started
		<-done
		p.t.Errorf("%s did not end within %v of %v", p.Name, Patience, s)
	}
}

// Wait returns the exit code once the program has ended by itself.
func (p *Process) Wait() int {
	p.t.Helper()
	cmd, done := p.current()
	select {
	case <-done:
		return cmd.ProcessState.ExitCode()
	case <-time.After(Patience):
		p.t.Fatalf("%s has not ended; its log:\n%s", p.Name, p.Log())
		return -1
	}
}
