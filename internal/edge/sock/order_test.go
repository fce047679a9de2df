package sock

import (
	"net"
	"testing"
)

// What one goroutine did before it sent, another may use that has received, and the
// race detector knows it: with both ends of this package, or one of package net.
func TestWhatIsSentHappensBefore(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(ours *Conn, theirs net.Conn) (from, to net.Conn){
		"to net":   func(ours *Conn, theirs net.Conn) (from, to net.Conn) { return ours, theirs },
		"from net": func(ours *Conn, theirs net.Conn) (from, to net.Conn) { return theirs, ours },
		"both":     func(ours *Conn, theirs net.Conn) (from, to net.Conn) { return ours, New(theirs) },
	} {
		t.Run(name, func(t *testing.T) {
			from, to := ends(pair(t))
			var said int
			go func() {
				said = 1
				_, _ = from.Write([]byte("x"))
			}()
			if _, err := to.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			if said != 1 {
				t.Error("what was sent was not said")
			}
		})
	}
}
