package lb

import (
	"reflect"
	"slices"

	"github.com/dengine/dengine/healthcheck"
)

// settings are a configuration and what follows from it, as one request sees
// them from its start to its end.
type settings struct {
	cfg    Config
	routes routes
	access *accessLog // nil: off
}

// sameChecks says whether a watcher may go on as it is.
func sameChecks(a, b healthcheck.Checks) bool {
	sameStatuses := slices.Equal(a.Expect, b.Expect)
	a.Expect, b.Expect = nil, nil
	return sameStatuses && reflect.DeepEqual(a, b)
}
