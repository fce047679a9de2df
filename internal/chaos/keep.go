package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dengine/dengine/internal/harness"
)

// evidence is what a failed round leaves, beside its history, picture and logs.
type evidence struct {
	Verdict string  `json:"verdict"`
	Command string  `json:"command"` // that runs it again
	Faults  []event `json:"faults"`
}

// pictureTime bounds the search that a picture takes.
const pictureTime = 20 * time.Second

// complete fills in what a round has where nothing is said.
func (s Setup) complete() Setup {
	if s.Nodes == 0 {
		s.Nodes = 3
	}
	if s.Store == "" {
		s.Store = "bolt"
	}
	return s
}

// Command runs the round again: the same choices, though not the same moments.
func (s Setup) Command() string {
	s = s.complete()
	out := fmt.Sprintf("make chaos ROUNDS=1 LEVEL=%s FAULTS=%s NODES=%d STORE=%s SECONDS=%.0f SEED=%d",
		s.Promise.Level, Names(s.Nemeses), s.Nodes, s.Store, s.Lasts.Seconds(), s.Seed)
	if s.Promise.MaxStaleness > 0 {
		out += fmt.Sprintf(" STALENESS=%v", s.Promise.MaxStaleness)
	}
	return out
}

// keep writes all that there is about a failed round into a folder of its own,
// and returns its name.
func (r *round) keep(t harness.T, verdict, key string) string {
	dir, err := r.s.folder()
	if err != nil {
		t.Errorf("keep the evidence: %v", err)
		return ""
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	errs := []error{
		writeJSON(file("round.json"), evidence{verdict, r.s.Command(), r.events}),
		writeJSON(file("history.json"), r.load.ops),
	}
	if key != "" {
		errs = append(errs, Picture(r.load.ops, key, file("picture.html"), pictureTime))
	}
	for _, p := range r.c.All() {
		errs = append(errs, os.WriteFile(file(p.Name+".log"), []byte(p.Log()), 0o600))
	}
	for _, err := range errs {
		if err != nil {
			t.Errorf("keep the evidence: %v", err)
		}
	}
	t.Logf("%s\n  evidence: %s\n  again:    %s", verdict, dir, r.s.Command())
	return dir
}

// folder makes one for the evidence of this round alone.
func (s Setup) folder() (string, error) {
	if s.Evidence != "" {
		if err := os.MkdirAll(s.Evidence, 0o755); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp(s.Evidence, fmt.Sprintf("dengine-chaos-%s-%s-%d-", s.Promise.Level, Names(s.Nemeses), s.Seed))
}

func writeJSON(file string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return os.WriteFile(file, append(b, '\n'), 0o600)
}
