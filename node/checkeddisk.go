package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// checkedDisk is a disk that tells whether what it gives back is what it was given:
// it keeps a checksum with each entry and each value, where neither bbolt nor
// raft-wal has one that is looked at when they are read, and notes how far the log
// has come (logEnd).
type checkedDisk struct {
	disk
	end *logEnd
}

// An entry's checksum follows what raft, or a layer above, has in its Extensions:
// sumMark, then CRC-32C, little-endian. Other nodes never see it.
const (
	sumMark  = 1
	sumBytes = 5
)

var errSum = errors.New("its checksum does not match")

// entrySum is of all that an entry means; when it was appended is no part of that.
func entrySum(l *raft.Log, extensions []byte) uint32 {
	var head [25]byte
	binary.LittleEndian.PutUint64(head[:], l.Index)
	binary.LittleEndian.PutUint64(head[8:], l.Term)
	head[16] = byte(l.Type)
	binary.LittleEndian.PutUint64(head[17:], uint64(len(l.Data)))
	sum := crc32.Update(0, castagnoli, head[:])
	sum = crc32.Update(sum, castagnoli, l.Data)
	return crc32.Update(sum, castagnoli, extensions)
}

func appendSum(l *raft.Log) []byte {
	b := make([]byte, 0, len(l.Extensions)+sumBytes)
	b = append(append(b, l.Extensions...), sumMark)
	return binary.LittleEndian.AppendUint32(b, entrySum(l, l.Extensions))
}

// takeSum checks an entry that was read and removes its checksum.
func takeSum(index uint64, l *raft.Log) error {
	n := len(l.Extensions) - sumBytes
	if n < 0 || l.Extensions[n] != sumMark {
		return errors.New("it has no checksum")
	}
	extensions, sum := l.Extensions[:n], binary.LittleEndian.Uint32(l.Extensions[n+1:])
	if l.Index != index || sum != entrySum(l, extensions) {
		return errSum
	}
	l.Extensions = extensions
	if n == 0 {
		l.Extensions = nil
	}
	return nil
}

// GetLog implements raft.LogStore. Bytes that cannot be decoded are an error too.
func (d checkedDisk) GetLog(index uint64, l *raft.Log) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it cannot be decoded: %v", r)
		}
	}()
	*l = raft.Log{}
	if err := d.disk.GetLog(index, l); err != nil {
		return err
	}
	return takeSum(index, l)
}

// StoreLog implements raft.LogStore.
func (d checkedDisk) StoreLog(l *raft.Log) error { return d.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore. raft's entries stay as they are: it sends
// them to others.
func (d checkedDisk) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	summed, out := make([]raft.Log, len(logs)), make([]*raft.Log, len(logs))
	for i, l := range logs {
		summed[i] = *l
		summed[i].Extensions = appendSum(l)
		out[i] = &summed[i]
	}
	if err := d.disk.StoreLogs(out); err != nil {
		return err
	}
	last := logs[len(logs)-1]
	return d.end.raise(mark{last.Index, last.Term})
}

// DeleteRange implements raft.LogStore.
func (d checkedDisk) DeleteRange(lo, hi uint64) error {
	last, err := d.LastIndex()
	if err != nil {
		return err
	}
	if hi >= last && lo > 0 {
		if err := d.end.lower(lo - 1); err != nil {
			return err
		}
	}
	return d.disk.DeleteRange(lo, hi)
}

func valueSum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// Set implements raft.StableStore.
func (d checkedDisk) Set(key, value []byte) error {
	b := append(make([]byte, 0, len(value)+4), value...)
	return d.disk.Set(key, binary.LittleEndian.AppendUint32(b, valueSum(key, value)))
}

// Get implements raft.StableStore. What is said of a key that is not there is the
// store's own.
func (d checkedDisk) Get(key []byte) ([]byte, error) {
	b, err := d.disk.Get(key)
	if err != nil || len(b) == 0 {
		return b, err
	}
	n := len(b) - 4
	if n < 0 || binary.LittleEndian.Uint32(b[n:]) != valueSum(key, b[:n]) {
		return nil, fmt.Errorf("the value of %s: %w", key, errSum)
	}
	return b[:n], nil
}

// SetUint64 implements raft.StableStore.
func (d checkedDisk) SetUint64(key []byte, value uint64) error {
	return d.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (d checkedDisk) GetUint64(key []byte) (uint64, error) {
	b, err := d.Get(key)
	if err != nil || len(b) == 0 {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("the value of %s has %d bytes, not 8", key, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// IsMonotonic implements raft.MonotonicLogStore.
func (d checkedDisk) IsMonotonic() bool {
	m, ok := d.disk.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// Close closes the store and the witness.
func (d checkedDisk) Close() error { return errors.Join(d.disk.Close(), d.end.close()) }
