package e2e

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// smallDisks are file systems of some MiB of their own, in memory, for folders of a
// test. Only root may mount them; without it the test is skipped.
type smallDisks struct {
	t     *testing.T
	paths []string
}

// newSmallDisks must come before the processes that use the disks are prepared:
// then they have ended when the disks are unmounted.
func newSmallDisks(t *testing.T) *smallDisks {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT TESTED: a full disk takes a small file system, and only root may mount one")
	}
	t.TempDir() // what is in it is removed after the disks are unmounted
	d := &smallDisks{t: t}
	t.Cleanup(d.unmount)
	return d
}

func size(kib int) string { return fmt.Sprintf("size=%dk", kib) }

// mount puts a file system of so many KiB at a folder, which it makes.
func (d *smallDisks) mount(path string, kib int) {
	d.t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		d.t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", path, "tmpfs", 0, size(kib))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		d.t.Skip("SKIPPED, NOT TESTED: a full disk takes a small file system, and this machine lets nobody mount one:", err)
	}
	if err != nil {
		d.t.Fatal("mount a small file system: ", err)
	}
	d.paths = append(d.paths, path)
}

// grow makes room on a disk.
func (d *smallDisks) grow(path string, kib int) {
	d.t.Helper()
	if err := syscall.Mount("tmpfs", path, "tmpfs", syscall.MS_REMOUNT, size(kib)); err != nil {
		d.t.Fatal("make room: ", err)
	}
}

func (d *smallDisks) unmount() {
	for _, path := range d.paths {
		err := syscall.Unmount(path, 0)
		if err == nil {
			continue
		}
		d.t.Errorf("unmount %s: %v", path, errors.Join(err, syscall.Unmount(path, syscall.MNT_DETACH)))
	}
}
