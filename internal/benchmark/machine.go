package benchmark

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Machine is what the figures were taken on. What cannot be found out is empty.
type Machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Revision string `json:"revision"` // of this repository, with "-dirty" where files differ from it that are not results
}

// LookAtMachine describes this one.
func LookAtMachine() Machine {
	return Machine{
		CPU: cpuModel(), Cores: runtime.NumCPU(), Go: runtime.Version(),
		Kernel:   firstLine(os.ReadFile("/proc/sys/kernel/osrelease")),
		Revision: revision(),
	}
}

func revision() string {
	rev := firstLine(exec.Command("git", "rev-parse", "--short=12", "HEAD").Output())
	differs, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no", "--",
		":/", ":(top,exclude)bench/results", ":(top,exclude)bench/README.md").Output()
	if rev != "" && (err != nil || len(differs) > 0) {
		rev += "-dirty"
	}
	return rev
}

func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(info)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return ""
}

func firstLine(b []byte, err error) string {
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}
