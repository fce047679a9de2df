//go:build faults

package node

import (
	"os"

	"github.com/dengine/dengine/node/internal/kv"
)

// spoilIdentity makes the node forget the identities of writes where a test asks
// for that: the test must then see writes that were executed twice.
func spoilIdentity(c *kv.Command) {
	if os.Getenv("DENGINE_FAULT_NO_IDENTITIES") == "1" {
		c.ID = kv.Identity{}
	}
}
