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
	left, kept, named := "", "", ""
	c := up(t, func(cfg *launcher.Config) {
		left = filepath.Join(cfg.TempDir, "dengine-up-123")
		kept = filepath.Join(cfg.TempDir, "dengine-up-notes")
		named = filepath.Join(cfg.TempDir, "dengine-up-mine") // by --data-dir, in a run that was killed
		for _, dir := range []string{left, kept, named} {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, file := range []string{filepath.Join(left, "dengine-up.temporary.lock"), filepath.Join(named, "dengine-up.lock"), filepath.Join(named, "precious"), filepath.Join(left, "n1"), filepath.Join(kept, "mine")} {
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
	if _, err := os.Stat(filepath.Join(named, "precious")); err != nil {
		t.Error("a folder that --data-dir had named was removed")
	}
	os.RemoveAll(kept)
	os.RemoveAll(named)
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

// A start that was refused for its ports binds the folder to nothing.
func TestRefusedStartIsNotRemembered(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.DataDir = filepath.Join(filepath.Dir(cfg.Socket), "data")
	l, err := net.Listen("tcp", "127.0.0.1:"+itoa(8081+cfg.PortOffset))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := run(t, cfg).waitEnd(); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("Run gives %v", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, "dengine-up.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder remembers a start that was refused (%v)", err)
	}
}

// What a failed wait says of every node that is not ready.
func TestFailedWaitNamesEachNode(t *testing.T) {
	t.Parallel()
	for range 5 { // another test may take a port meanwhile
		cfg := config(t)
		cfg.Wait = 10e9
		cfg.NodeArgs = []string{"--fake-never-ready", "n2"}
		err := run(t, cfg).waitEnd()
		var conflict *launcher.ConflictError
		if errors.As(err, &conflict) {
			continue
		}
		want := "\nn2 is not ready (follower in term 1): no leader is known\n  {"
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\nn1") {
			t.Errorf("%q is not in:\n%v", want, err)
		}
		gone(t, cfg, nil)
		return
	}
	t.Fatal("ports are taken again and again")
}
