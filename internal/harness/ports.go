package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Listening ports come from below the range that the kernel takes the ports of
// outgoing connections from (32768 to 60999): a port in that range may be an
// outgoing connection's by the time its program is restarted.
const firstPort, lastPort = 12000, 32000

// FreePorts returns n loopback addresses that were free a moment ago, all held
// at once so that they differ.
func FreePorts(t T, n int) []string {
	t.Helper()
	var out []string
	for tries := 0; len(out) < n; tries++ {
		ln, err := net.Listen("tcp", loopback(firstPort+rand.IntN(lastPort-firstPort)))
		if err != nil {
			if tries > 100*n {
				t.Fatalf("find %d free ports from %d to %d: %v", n, firstPort, lastPort, err)
			}
			continue
		}
		defer ln.Close()
		out = append(out, ln.Addr().String())
	}
	return out
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
