package node

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"
)

// votesFile is in the data directory, beside the log.
const votesFile = "votes"

// votesBytes is the length of the file: one sector, which disks write whole or not
// at all. So a record whose checksum is wrong is damage, and no write that a loss of
// power interrupted.
const votesBytes = 512

// voteFile keeps what raft's stable store is for: the term, and the last vote with
// the term that it was given in. It is written over in place: one write and one
// fdatasync, where bbolt makes two and raft-wal replaces a file. An election takes four
// of these, one after the other, and clients wait for it.
type voteFile struct {
	file *os.File
	mu   sync.Mutex
	kept votes
}

// votes is the record: both values as raft's stable store has them.
type votes struct {
	Term []byte `json:"term"`
	Vote []byte `json:"vote"`
}

var _ raft.StableStore = (*voteFile)(nil)

// record is how votes are written: their checksum, JSON, and spaces up to the
// file's length.
func (v votes) record() ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	b := fmt.Appendf(make([]byte, 0, votesBytes), "%08x %s", crc32.Checksum(data, castagnoli), data)
	if len(b) >= votesBytes {
		return nil, fmt.Errorf("the record takes %d bytes, and there is room for %d", len(b), votesBytes-1)
	}
	return append(append(b, bytes.Repeat([]byte{' '}, votesBytes-1-len(b))...), '\n'), nil
}

func parseVotes(b []byte) (v votes, err error) {
	sum, data, _ := bytes.Cut(bytes.TrimRight(b, " \n"), []byte{' '})
	if len(b) != votesBytes || string(sum) != fmt.Sprintf("%08x", crc32.Checksum(data, castagnoli)) {
		return v, errSum
	}
	return v, json.Unmarshal(data, &v)
}

// openVotes opens the file, or begins one for a directory that is new, with term 0
// and a vote in it for nobody.
func openVotes(path string, joined bool) (*voteFile, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !joined {
		if b, err = (votes{make([]byte, 8), make([]byte, 8)}).record(); err == nil {
			err = replaceFile(path, b)
		}
	}
	var v votes
	if err == nil {
		v, err = parseVotes(b)
	}
	if err != nil {
		return nil, unreadable(filepath.Dir(path), path, fmt.Errorf("the term and the last vote: %w", err))
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, unreadable(filepath.Dir(path), path, err)
	}
	return &voteFile{file: f, kept: v}, nil
}

// value is where a key's value is in a record.
func (v *votes) value(key []byte) (*[]byte, error) {
	switch string(key) {
	case keyTerm:
		return &v.Term, nil
	case keyVote:
		return &v.Vote, nil
	}
	return nil, fmt.Errorf("there is no %q in the file of the votes", key)
}

// Set implements raft.StableStore.
func (f *voteFile) Set(key, val []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.kept
	at, err := now.value(key)
	if err != nil {
		return err
	}
	*at = bytes.Clone(val)
	b, err := now.record()
	if err != nil {
		return err
	}
	if _, err := f.file.WriteAt(b, 0); err != nil {
		return err
	}
	if err := syncData(f.file); err != nil {
		return err
	}
	f.kept = now
	return nil
}

// Get implements raft.StableStore.
func (f *voteFile) Get(key []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, err := f.kept.value(key)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(*at), nil
}

// SetUint64 implements raft.StableStore.
func (f *voteFile) SetUint64(key []byte, value uint64) error {
	return f.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (f *voteFile) GetUint64(key []byte) (uint64, error) {
	b, err := f.Get(key)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("the value of %s has %d bytes, not 8", key, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

func (f *voteFile) close() error { return f.file.Close() }
