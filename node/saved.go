package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// castagnoli is the polynomial of every checksum that the node adds: processors
// compute it (CRC-32C, RFC 3720).
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// saved is the form of the small files in a data directory: what they hold, and
// the checksum of that without white space.
type saved struct {
	Sum  string          `json:"crc32c"`
	Data json.RawMessage `json:"data"`
}

func sumOf(b []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(b, castagnoli)) }

// readJSON reads a file of the data directory that writeJSON has written.
func readJSON(path string, v any) error {
	err := readSaved(path, v)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return err
	}
	return unreadable(filepath.Dir(path), path, err)
}

func readSaved(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var s saved
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s.Sum == "" && s.Data == nil {
		return errors.New("it has no checksum (an earlier version wrote none)")
	}
	var plain bytes.Buffer
	if err := json.Compact(&plain, s.Data); err != nil {
		return err
	}
	if s.Sum != sumOf(plain.Bytes()) {
		return errors.New("its checksum does not match")
	}
	return json.Unmarshal(s.Data, v)
}

// writeJSON replaces a file so that a crash leaves the old or the new one.
func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	b, err := json.MarshalIndent(saved{Sum: sumOf(data), Data: data}, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return replaceFile(path, append(b, '\n'))
}

// replaceFile puts b in the place of a file, on disk when it returns: a crash
// leaves the old file or the new one.
func replaceFile(path string, b []byte) error {
	tmp := path + ".tmp"
	err := writeSynced(tmp, b)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // it may hold the last of the disk's room
		return fmt.Errorf("write %s: %w: %s", path, err, remedy(path, err))
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, b []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}
