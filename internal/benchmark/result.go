package benchmark

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Result is a whole run, as it is written to a file.
type Result struct {
	Date     time.Time         `json:"date"`
	Command  string            `json:"command"`
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions,omitempty"` // of what others make
	Seconds  int               `json:"seconds"`            // each measurement
	Ratios   []Verdict         `json:"ratios"`
	Rows     []Row             `json:"rows"`
	Problems []string          `json:"problems,omitempty"` // why something could not be measured
	Absent   []string          `json:"absent,omitempty"`   // what was not measured, since it is not installed
}

// ReadResult reads a result that was saved.
func ReadResult(file string) (r Result, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// Provenance says where the figures come from, and what could not be had, in
// Markdown.
func (r Result) Provenance() string {
	m := r.Machine
	out := fmt.Sprintf("`%s` on %s, each measurement %d s: %d cores (%s), Linux %s, %s, revision %s",
		r.Command, r.Date.Format(time.DateOnly), r.Seconds, m.Cores, m.CPU, m.Kernel, m.Go, m.Revision)
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		out += fmt.Sprintf("; %s: %s", name, r.Versions[name])
	}
	out += ".\n"
	for _, what := range r.Absent {
		out += "\n**Not installed, so not measured:** " + what + "\n"
	}
	if len(r.Problems) > 0 {
		out += "\n- not measured: " + strings.Join(r.Problems, "\n- not measured: ") + "\n"
	}
	return out
}

// Save writes a result, whatever it is, as JSON; folders are made.
func Save(file string, result any) error {
	b, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
