package launcher_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dengine/dengine/launcher"
)

func TestSecondRun(t *testing.T) {
	t.Parallel()
	c := up(t, func(cfg *launcher.Config) { cfg.DataDir = filepath.Join(filepath.Dir(cfg.Socket), "data") })
	err := run(t, c.cfg).waitEnd()
	if err == nil || !strings.Contains(err.Error(), "running already") || !strings.Contains(err.Error(), itoa(os.Getpid())) {
		t.Errorf("the same socket: %v", err)
	}
	other := config(t)
	other.DataDir = c.cfg.DataDir
	err = run(t, other).waitEnd()
	if err == nil || !strings.Contains(err.Error(), "in use by another dengine-up") {
		t.Errorf("the same data folder: %v", err)
	}
	if c.hasEnded() {
		t.Error("the first one has ended")
	}
	c.leader()
}

func TestDataFolderRemembers(t *testing.T) {
	t.Parallel()
	c := up(t, func(cfg *launcher.Config) {
		cfg.DataDir = filepath.Join(filepath.Dir(cfg.Socket), "data")
		cfg.Nodes = 5
	})
	c.cancel()
	c.waitEnd()
	for change, says := range map[*launcher.Config]string{
		{Nodes: 3, PortOffset: c.cfg.PortOffset}: "holds a cluster of 5 nodes, not 3",
		{PortOffset: c.cfg.PortOffset + 1}:       "lives at --port-offset " + itoa(c.cfg.PortOffset),
	} {
		cfg := c.cfg
		cfg.Nodes, cfg.PortOffset = change.Nodes, change.PortOffset
		if err := run(t, cfg).waitEnd(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	cfg := c.cfg
	cfg.Nodes = 0 // as remembered
	again := run(t, cfg)
	eventually(t, "it is ready or has ended", func() bool {
		_, ready := again.events.first(0, launcher.EventReady)
		return ready || again.hasEnded()
	})
	if again.hasEnded() {
		t.Fatal(again.err)
	}
	if s := again.status(); len(s.Nodes) != 5 || s.Temporary || s.Dir != c.cfg.DataDir {
		t.Errorf("%+v", s)
	}
}

// A run that was killed leaves its folder and socket; the next one removes them.
func TestLeftoversOfAKilledRun(t *testing.T) {
	t.Parallel()
	left, kept := "", ""
	c := up(t, func(cfg *launcher.Config) {
		left = filepath.Join(cfg.TempDir, "dengine-up-123")
		kept = filepath.Join(cfg.TempDir, "dengine-up-notes")
		for _, dir := range []string{left, kept} {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, file := range []string{filepath.Join(left, "dengine-up.lock"), filepath.Join(left, "n1"), filepath.Join(kept, "mine")} {
			if err := os.WriteFile(file, []byte("1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l, err := net.Listen("unix", cfg.Socket)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
	})
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Error("the folder of the killed run is left")
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error("a folder that was not ours was removed")
	}
	os.RemoveAll(kept)
	// A folder that is in use stays.
	other := up(t, func(cfg *launcher.Config) { cfg.TempDir = c.cfg.TempDir })
	if _, err := os.Stat(c.status().Dir); err != nil {
		t.Errorf("the folder of a running one was removed: %v", err)
	}
	other.cancel()
	other.waitEnd()
}

func TestSocketOfAnyoneElseIsNotTouched(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	if err := os.WriteFile(cfg.Socket, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(t, cfg).waitEnd(); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("Run gives %v", err)
	}
	if read(t, cfg.Socket) != "precious" {
		t.Error("the file was overwritten")
	}
	if err := os.Chmod(filepath.Dir(cfg.Socket), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := run(t, cfg).waitEnd(); err == nil || !strings.Contains(err.Error(), "nobody else can write") {
		t.Errorf("in a folder open to all, Run gives %v", err)
	}
}
