package node

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
)

// logEndFile is in the data directory, beside the log and not part of it.
const logEndFile = "log.end"

// logEnd is a witness of how far the log has come: the index and the term of the
// last entry that was written. Nothing in a log tells an end that was cut off from
// one that was never there: raft-wal takes a commit whose checksum is wrong for
// one that a crash interrupted, and a bbolt file holds earlier states of itself.
//
// The witness is written over in place after each append, once that is on disk,
// and it is not synced: it costs a copy into the page cache. So what it says is
// always true, and it survives the death of the process; after a loss of power
// it may say less than the log holds. Where entries are removed from the end it is
// lowered first, and synced, so that it never says too much.
//
// Whoever writes to the log takes turns (diskWatch), and so do the calls here.
type logEnd struct {
	file *os.File
	at   mark
}

// mark is an entry; its term is 0 where that is not known.
type mark struct{ index, term uint64 }

// line is how a mark is written: always of one length, so that one write within a
// sector replaces another.
func (m mark) line() []byte {
	b := make([]byte, 0, markBytes)
	b = append(appendPadded(b, m.index, 10, 20), ' ')
	b = append(appendPadded(b, m.term, 10, 20), ' ')
	return append(appendPadded(b, uint64(crc32.Checksum(b, castagnoli)), 16, 8), '\n')
}

// appendPadded appends a number with zeros before it; fmt would cost each append to the
// log as much as the entry's checksum.
func appendPadded(b []byte, n uint64, base, digits int) []byte {
	var buf [20]byte
	text := strconv.AppendUint(buf[:0], n, base)
	for range digits - len(text) {
		b = append(b, '0')
	}
	return append(b, text...)
}

// markBytes is the length of that line.
const markBytes = 20 + 1 + 20 + 1 + 8 + 1

func parseMark(b []byte) (m mark, err error) {
	if _, err := fmt.Sscanf(string(b), "%d %d", &m.index, &m.term); err != nil {
		return m, fmt.Errorf("it does not tell where the log ended: %w", err)
	}
	if !bytes.Equal(m.line(), b) {
		return m, errors.New("its checksum does not match")
	}
	return m, nil
}

// openLogEnd opens the witness, or begins one for a log that is new.
func openLogEnd(path string, joined bool) (*logEnd, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !joined {
		b = mark{}.line()
		err = replaceFile(path, b)
	}
	var at mark
	if err == nil {
		at, err = parseMark(b)
	}
	if err != nil {
		return nil, unreadable(filepath.Dir(path), path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, unreadable(filepath.Dir(path), path, err)
	}
	return &logEnd{file: f, at: at}, nil
}

// raise notes an entry that is in the log.
func (e *logEnd) raise(to mark) error {
	if _, err := e.file.WriteAt(to.line(), 0); err != nil {
		return fmt.Errorf("note where the log ends: %w", err)
	}
	e.at = to
	return nil
}

// lower notes that entries are about to be removed: none behind last is promised
// any more.
func (e *logEnd) lower(last uint64) error {
	if last >= e.at.index {
		return nil
	}
	if err := e.raise(mark{index: last}); err != nil {
		return err
	}
	if err := e.file.Sync(); err != nil {
		return fmt.Errorf("note where the log ends: %w", err)
	}
	return nil
}

// close leaves the witness on disk.
func (e *logEnd) close() error { return errors.Join(e.file.Sync(), e.file.Close()) }
