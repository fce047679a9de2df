package launcher

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Exit is how a process ended.
type Exit struct {
	// Code is the exit code, -1 where a signal ended the process.
	Code int `json:"code"`
	// Signal is that signal's name ("SIGKILL"), empty otherwise.
	Signal string `json:"signal,omitempty"`
}

// String is "code 1" or "SIGKILL".
func (e Exit) String() string {
	if e.Signal != "" {
		return e.Signal
	}
	return fmt.Sprintf("code %d", e.Code)
}

func exitOf(s *os.ProcessState) Exit {
	if s == nil {
		return Exit{Code: -1}
	}
	e := Exit{Code: s.ExitCode()}
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = unix.SignalName(ws.Signal())
	}
	return e
}

// asked is what a person wanted of a process that then ended.
type asked string

const (
	askedNothing asked = ""     // it ended by itself, or by somebody else's signal
	askedKill    asked = "kill" // SIGKILL, to see what happens
	askedStop    asked = "stop" // an orderly end
)

// ended is the end of one run of one process.
type ended struct {
	at   time.Time
	exit Exit
	why  asked
	tail []string // its last lines, where nobody asked for the end
}
