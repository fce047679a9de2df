//go:build !faults

package node

import "github.com/dengine/dengine/node/internal/kv"

// spoilIdentity does nothing in a build that is not for tests of faults.
func spoilIdentity(*kv.Command) {}
