package harness

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// orders are the faults that a node built with Options.Faults is to have, one a line
// of the file "fault" in its data folder (node/faults.go).
type orders struct {
	mu    sync.Mutex
	lines []string
}

// Fault causes a fault in a node built with Options.Faults, such as "hang" or
// "error" of its disk, instead of those that it had; "" heals it.
func (p *Process) Fault(what string) {
	p.t.Helper()
	p.order(func([]string) []string {
		if what == "" {
			return nil
		}
		return []string{what}
	})
}

// AddFault causes one more fault; heal ends it.
func (p *Process) AddFault(what string) (heal func()) {
	p.t.Helper()
	p.order(func(lines []string) []string { return append(lines, what) })
	return func() {
		p.order(func(lines []string) []string {
			if i := slices.Index(lines, what); i >= 0 {
				lines = slices.Delete(lines, i, i+1)
			}
			return lines
		})
	}
}

// Faulty says that the node is to have a fault now.
func (p *Process) Faulty() bool {
	p.orders.mu.Lock()
	defer p.orders.mu.Unlock()
	return len(p.orders.lines) > 0
}

func (p *Process) order(change func(lines []string) []string) {
	p.t.Helper()
	p.orders.mu.Lock()
	defer p.orders.mu.Unlock()
	p.orders.lines = change(p.orders.lines)
	if err := p.writeOrders(); err != nil {
		p.t.Fatalf("faults %q in %s: %v", p.orders.lines, p.Name, err)
	}
}

// SwapData has change replace the data folder of a process that does not run. The
// faults that are asked for stay as they are.
func (p *Process) SwapData(change func(dir string) error) error {
	p.orders.mu.Lock()
	defer p.orders.mu.Unlock()
	if err := change(p.Dir); err != nil {
		return err
	}
	return p.writeOrders()
}

// writeOrders replaces the file, so that the node never reads half of it.
func (p *Process) writeOrders() error {
	file := filepath.Join(p.Dir, "fault")
	if len(p.orders.lines) == 0 {
		if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	half := p.Dir + ".fault"
	if err := os.WriteFile(half, []byte(strings.Join(p.orders.lines, "\n")), 0o600); err != nil {
		return err
	}
	return os.Rename(half, file)
}
