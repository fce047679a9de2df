package failover

import (
	"time"

	"github.com/dengine/dengine/internal/benchmark"
)

// Result is a whole run of the benchmark, as it is written to a file.
type Result struct {
	Date    time.Time         `json:"date"`
	Command string            `json:"command"`
	Machine benchmark.Machine `json:"machine"`
	Load    Profile           `json:"load"`
	Fronts  map[string]string `json:"fronts,omitempty"` // versions of those that others make
	Rows    []Row             `json:"rows"`
}
