package node

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Folder is what is in a folder, by the names of the files. A segment of raft-wal is
// 64 MiB, most of it not written yet, so the zeros at the end of a file are not kept.
type Folder map[string]FolderFile

// FolderFile is a file's bytes, and how long it is with the zeros at its end.
type FolderFile struct {
	Data []byte
	Size int64
}

// ReadFolder reads a folder and those in it.
func ReadFolder(t *testing.T, dir string) Folder {
	t.Helper()
	out := make(Folder)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[name] = FolderFile{bytes.Clone(bytes.TrimRight(b, "\x00")), int64(len(b))}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Write writes the files into another folder.
func (f Folder) Write(t *testing.T, dir string) {
	t.Helper()
	for name, file := range f {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, file.Data, 0o644), os.Truncate(path, file.Size)); err != nil {
			t.Fatal(err)
		}
	}
}

// FlipBit flips one bit of a file.
func FlipBit(path string, at int64, bit int) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return errors.Join(err, f.Close())
	}
	b[0] ^= 1 << bit
	_, err = f.WriteAt(b, at)
	return errors.Join(err, f.Close())
}
