package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/dengine/dengine/internal/fuzzkit"
	"github.com/dengine/dengine/internal/logging"
	"github.com/dengine/dengine/internal/settings"
	"github.com/dengine/dengine/node"
)

// Whatever stands in a node's settings file, it is refused by name, or printed as a
// file that means the same; whether it can be run is said without a panic.
func FuzzConfig(f *testing.F) {
	sample, err := os.ReadFile("../../testdata/n1.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(sample))
	f.Add("id = 'a'\nlog_store = \"wal\"\ninitial_cluster = [{id = \"a\", raft = \":1\"}]\nmax_value_bytes = '1GiB'\nread_consistency = \"lease\"\n")
	f.Add("initial-cluster = [\"id=n1,raft=[::1]:1\"]\nmax_lag = -1\nlog_level = \"debug\"\n")
	file := filepath.Join(f.TempDir(), "n.toml")
	f.Fuzz(func(t *testing.T, text string) {
		p := fuzzkit.Program{Prefix: "DENGINE", File: file, Fresh: func() ([]settings.Setting, func() string) {
			cfg, logs := node.DefaultConfig(), logging.Default()
			return nodeSettings(&cfg, &logs), func() string { return fmt.Sprintf("%+v %+v %v %v", cfg, logs, cfg.Validate(), logs.Validate()) }
		}}
		p.CheckFile(t, text, nil)
	})
}
