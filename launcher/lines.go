package launcher

import (
	"io"
	"sync"
)

// lineWriter writes lines of several processes without mixing them up.
type lineWriter struct {
	mu       sync.Mutex
	w        io.Writer
	flushAll func() error
	prefixed bool // say whose line it is
}

// write sends lines of one process; a client that has left is found by flush.
func (l *lineWriter) write(name string, lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range lines {
		if l.prefixed {
			line = name + " | " + line
		}
		_, _ = io.WriteString(l.w, line+"\n")
	}
}

func (l *lineWriter) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flushAll()
}
