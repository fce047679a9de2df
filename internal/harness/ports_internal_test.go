package harness

import (
	"net"
	"testing"
)

// Ports at an offset are free, and nobody else gets them before the test ends.
func TestOffsetIsGivenOnce(t *testing.T) {
	t.Parallel()
	offset := FreeOffset(t, 3, 8080, 9080)
	for _, base := range []int{8080, 9080} {
		for port := base + offset; port < base+offset+3; port++ {
			if _, err := reserve(t, port); err == nil {
				t.Errorf("port %d was given twice", port)
			}
			ln, err := net.Listen("tcp", loopback(port))
			if err != nil {
				t.Error(err)
				continue
			}
			ln.Close()
		}
	}
}
