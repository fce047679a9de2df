package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
)

// Listening ports come from below the range that the kernel takes the ports of
// outgoing connections from (32768 to 60999): a port in that range may be an
// outgoing connection's by the time its program is restarted.
const firstPort, lastPort = 12000, 32000

// FreePorts returns n loopback addresses that were free a moment ago. Until t ends
// nobody else who asks here gets them, in this process or another: a name in the
// abstract space of Unix sockets says that a port is given.
func FreePorts(t T, n int) []string {
	t.Helper()
	var out []string
	for tries := 0; len(out) < n; tries++ {
		addr, err := reserve(t, firstPort+rand.IntN(lastPort-firstPort))
		switch {
		case err == nil:
			out = append(out, addr)
		case tries > 100*n:
			t.Fatalf("find %d free ports from %d to %d: %v", n, firstPort, lastPort, err)
		}
	}
	return out
}

// FreeOffset returns a number such that the n ports from each of the bases on, that
// much higher, were free a moment ago. They are given as those of FreePorts are.
func FreeOffset(t T, n int, bases ...int) int {
	t.Helper()
	lowest, highest := slices.Min(bases), slices.Max(bases)+n
	var err error
	for range 1000 {
		offset := firstPort - lowest + rand.IntN(lastPort-highest-(firstPort-lowest))
		if err = reserveAll(t, offset, n, bases); err == nil {
			return offset
		}
	}
	t.Fatalf("find free ports %v, %d of each, at an offset: %v", bases, n, err)
	return 0
}

func reserveAll(t T, offset, n int, bases []int) error {
	for _, base := range bases {
		for i := range n {
			if _, err := reserve(t, base+i+offset); err != nil {
				return err
			}
		}
	}
	return nil
}

// reserve takes a port that is free and given to nobody.
func reserve(t T, port int) (addr string, err error) {
	given, err := net.Listen("unix", fmt.Sprintf("@dengine-port-%d", port))
	if err != nil {
		return "", err
	}
	ln, err := net.Listen("tcp", loopback(port))
	if err != nil {
		given.Close()
		return "", err
	}
	t.Cleanup(func() { given.Close() })
	return loopback(port), ln.Close()
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
