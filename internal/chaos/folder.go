package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// copyFolder copies a data folder. Logs are files that are empty for the most part:
// what is empty stays a hole.
func copyFolder(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		return copyFile(path, filepath.Join(to, name))
	})
}

// block is what a hole consists of.
const block = 64 << 10

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buf, empty, size := make([]byte, block), make([]byte, block), int64(0)
	for {
		n, err := io.ReadFull(in, buf)
		if !bytes.Equal(buf[:n], empty[:n]) {
			if _, err := out.WriteAt(buf[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return out.Truncate(size)
		}
		if err != nil {
			return err
		}
	}
}

// files of a data folder that damage is done to, by what they hold. Those of a log
// are all there are; of snapshots it is the newest.
func files(dir, what string) ([]string, error) {
	patterns := map[string][]string{
		"log":      {"raft.db", "wal/*.wal", "log.end"},
		"vote":     {"votes", "wal/meta.json"},
		"snapshot": {"snapshots/*/state.bin", "snapshots/*/meta.json"},
		"identity": {"node.json", "peers.json", "starts.json"},
	}[what]
	var out []string
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			return nil, err
		}
		if what == "snapshot" && len(found) > 0 {
			found = found[len(found)-1:]
		}
		out = append(out, found...)
	}
	return out, nil
}

// damage truncates a file of the kind, or flips a bit of what it holds, and says what
// it did; "" where there is no such file.
func damage(dir, kind string, d *dice) (string, error) {
	found, err := files(dir, kind)
	if err != nil || len(found) == 0 {
		return "", err
	}
	file := found[d.IntN(len(found))]
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	name, err := filepath.Rel(dir, file)
	if err != nil {
		return "", err
	}
	held := len(bytes.TrimRight(b, "\x00")) // the rest was never written
	if held == 0 {
		return "", nil
	}
	if d.IntN(2) == 0 {
		sizes := []int{0, held / 2, held - 1, max(0, held-4096)}
		size := sizes[d.IntN(len(sizes))]
		return fmt.Sprintf("%s truncated to %d of %d bytes", name, size, len(b)), os.Truncate(file, int64(size))
	}
	bit := d.IntN(8 * held)
	b = slices.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	_, err = f.WriteAt(b[bit/8:bit/8+1], int64(bit/8))
	return fmt.Sprintf("%s with bit %d flipped at %d of %d bytes", name, bit%8, bit/8, held), errors.Join(err, f.Close())
}
