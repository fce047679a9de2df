// Package e2e tests the real programs together: real processes, real sockets,
// real disks.
package e2e

import (
	"os"
	"testing"

	"github.com/dengine/dengine/internal/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	harness.Cleanup()
	os.Exit(code)
}
