package launcher

import (
	"fmt"
	"net"
	"strings"
)

// Conflict is a port that something else holds.
type Conflict struct {
	Address
	Err    error  // what bind said
	Holder string // "nginx (pid 812)"; empty where it could not be found out
}

// ConflictError lists every port that cannot be used.
type ConflictError struct {
	Conflicts []Conflict
	// Hint is what the user can do.
	Hint string
}

func (e *ConflictError) Error() string {
	var b strings.Builder
	ports := "ports are"
	if len(e.Conflicts) == 1 {
		ports = "port is"
	}
	fmt.Fprintf(&b, "%d %s in use; nothing was started:", len(e.Conflicts), ports)
	for _, c := range e.Conflicts {
		fmt.Fprintf(&b, "\n  %s (%s): ", c.Addr, c.Purpose)
		if c.Holder != "" {
			fmt.Fprintf(&b, "held by %s", c.Holder)
		} else {
			b.WriteString(c.Err.Error())
		}
	}
	if e.Hint != "" {
		b.WriteString("\n" + e.Hint)
	}
	return b.String()
}

// checkPorts binds every address for a moment, all of them at once, and
// returns those where that failed.
func checkPorts(addrs []Address) []Conflict {
	var out []Conflict
	for _, a := range addrs {
		l, err := net.Listen("tcp", a.Addr)
		if err != nil {
			out = append(out, Conflict{Address: a, Err: err})
			continue
		}
		defer l.Close()
	}
	if len(out) > 0 {
		holders := portHolders()
		for i := range out {
			if tcp, err := net.ResolveTCPAddr("tcp", out[i].Addr); err == nil {
				out[i].Holder = holders[tcp.Port]
			}
		}
	}
	return out
}
