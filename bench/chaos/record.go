package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/dengine/dengine/internal/chaos"
)

// record keeps each finished round in a file at once, a line of JSON each, so that
// an interrupted run loses nothing.
type record struct {
	mu   sync.Mutex
	file *os.File // nil: nothing is kept
	had  map[string]chaos.Row
}

// openRecord opens a file for more lines; no file for an empty name. Where the rounds
// are resumed it reads those that were as promised.
func openRecord(name string, resume bool) (*record, error) {
	r := &record{had: map[string]chaos.Row{}}
	if name == "" {
		return r, nil
	}
	if resume {
		if err := r.read(name); err != nil {
			return nil, fmt.Errorf("read finished rounds: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("keep finished rounds: %w", err)
	}
	r.file = f
	return r, nil
}

// read takes the rounds that were as promised; the others are run again.
func (r *record) read(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var row chaos.Row
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if row.Verdict == chaos.Kept {
			r.had[row.Command] = row
		}
	}
	return lines.Err()
}

// once runs a round and keeps its row, unless it is there already. A round that was
// interrupted is not kept.
func (r *record) once(s chaos.Setup, run func() chaos.Row, interrupted func() bool) (chaos.Row, error) {
	if row, ok := r.had[s.Command()]; ok {
		return row, nil
	}
	row := run()
	if r.file == nil || interrupted() {
		return row, nil
	}
	line, err := json.Marshal(row)
	if err != nil {
		return row, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err = r.file.Write(append(line, '\n'))
	return row, err
}

func (r *record) close() {
	if r.file != nil {
		r.file.Close() // each line has been written, or its error told
	}
}
