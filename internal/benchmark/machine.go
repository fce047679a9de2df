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
	Revision string `json:"revision"` // of this repository, with "-dirty" where files differ from it
}

// LookAtMachine describes this one.
func LookAtMachine() Machine {
	return Machine{
		CPU: cpuModel(), Cores: runtime.NumCPU(), Go: runtime.Version(),
		Kernel:   firstLine(os.ReadFile("/proc/sys/kernel/osrelease")),
		Revision: firstLine(exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()),
	}
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
