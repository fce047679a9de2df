package main

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/dengine/dengine/internal/fuzzkit"
	"github.com/dengine/dengine/internal/settings"
)

// Whatever stands in a balancer's settings file, it is refused by name, or printed
// as a file that means the same; whether it can be run is said without a panic.
func FuzzConfig(f *testing.F) {
	f.Add("listen = \"127.0.0.1:0\"\nbackend = [\"id=n1,http=a:1,health=a:2\", {http = \"b:1\"}]\nexpect_status = \"200-299, 304\"\n")
	f.Add("read_path = [\"POST /search\"]\nread_method = []\nwrite_policy = \"any\"\nhold_timeout = \"0s\"\nbuffer_body = \"8MiB\"\n")
	f.Add("health-mode = \"poll\"\nprimary_path = \"\"\nreplica_path = \"x\"\naccess_log_sample = 0\nlog_level = \"warn\"\ncheck = true\n")
	file := filepath.Join(f.TempDir(), "lb.toml")
	f.Fuzz(func(t *testing.T, text string) {
		p := fuzzkit.Program{Prefix: "DENGINE_LB", File: file, Fresh: func() ([]settings.Setting, func() string) {
			o := newOptions()
			return o.list(), func() string { return fmt.Sprintf("%+v %v", *o, o.cfg.Validate()) }
		}}
		p.CheckFile(t, text, nil)
	})
}
