package kv

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
)

// A snapshot is: magic, format, index, term, revision counter, number of keys,
// then the keys in order, each with value, revision and count of writes; in the
// same encoding as entries.
const (
	snapshotMagic  = "dkvs"
	snapshotFormat = 1
)

// MaxFieldBytes bounds a key or a value in a snapshot: a damaged length must not
// make a node ask for more memory than there is.
const MaxFieldBytes = 1 << 30

// WriteTo writes the view as a snapshot. It implements io.WriterTo.
func (v *View) WriteTo(w io.Writer) (int64, error) {
	bw := bufio.NewWriterSize(w, 256<<10)
	var total int64
	buf := make([]byte, 0, 4096)
	flush := func() error {
		n, err := bw.Write(buf)
		total += int64(n)
		buf = buf[:0]
		return err
	}
	buf = append(buf, snapshotMagic...)
	buf = append(buf, snapshotFormat)
	for _, n := range []uint64{v.index, v.term, v.rev, uint64(v.items.Len())} {
		buf = binary.AppendUvarint(buf, n)
	}
	err := flush()
	v.items.Scan(func(key string, it Item) bool {
		buf = binary.AppendUvarint(buf, uint64(len(key)))
		buf = append(buf, key...)
		buf = appendBytes(buf, it.Value)
		buf = binary.AppendUvarint(buf, it.Rev)
		buf = binary.AppendUvarint(buf, it.Writes)
		err = flush()
		return err == nil
	})
	if err == nil {
		err = bw.Flush()
	}
	return total, err
}

// Hash is the SHA-256 of the snapshot: two nodes at the same index have the
// same one.
func (v *View) Hash() [sha256.Size]byte {
	h := sha256.New()
	if _, err := v.WriteTo(h); err != nil { // a hash never fails to write
		panic(err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// ReadSnapshot reads what WriteTo wrote. The whole of r must be the snapshot.
func ReadSnapshot(r io.Reader) (*Machine, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	head := make([]byte, len(snapshotMagic)+1)
	if _, err := io.ReadFull(br, head); err != nil {
		return nil, fmt.Errorf("%w: snapshot header: %w", ErrFormat, err)
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic || head[len(snapshotMagic)] != snapshotFormat {
		return nil, fmt.Errorf("%w: snapshot starts with %q, this version reads format %d", ErrFormat, head, snapshotFormat)
	}
	m := new(Machine)
	var keys uint64
	for _, p := range []*uint64{&m.index, &m.term, &m.rev, &keys} {
		n, err := binary.ReadUvarint(br)
		if err != nil {
			return nil, fmt.Errorf("%w: snapshot header: %w", ErrFormat, err)
		}
		*p = n
	}
	last := ""
	for i := range keys {
		key, it, err := readItem(br)
		if err != nil {
			return nil, fmt.Errorf("%w: key %d of %d: %w", ErrFormat, i+1, keys, err)
		}
		if i > 0 && key <= last {
			return nil, fmt.Errorf("%w: key %d of %d is out of order", ErrFormat, i+1, keys)
		}
		m.items.Load(key, it)
		last = key
	}
	if _, err := br.ReadByte(); err != io.EOF {
		return nil, fmt.Errorf("%w: data after the last key", ErrFormat)
	}
	return m, nil
}

func readItem(br *bufio.Reader) (key string, it Item, err error) {
	k, err := readField(br)
	if err != nil {
		return "", Item{}, err
	}
	if it.Value, err = readField(br); err != nil {
		return "", Item{}, err
	}
	if it.Rev, err = binary.ReadUvarint(br); err != nil {
		return "", Item{}, err
	}
	it.Writes, err = binary.ReadUvarint(br)
	return string(k), it, err
}

// readField reads a length and as many bytes, growing as they come: a damaged
// length costs an error, not memory.
func readField(br *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(br)
	if err != nil {
		return nil, err
	}
	if n > MaxFieldBytes {
		return nil, fmt.Errorf("field of %d bytes", n)
	}
	const step = 1 << 20
	field := make([]byte, min(n, step))
	if _, err := io.ReadFull(br, field); err != nil {
		return nil, err
	}
	for uint64(len(field)) < n {
		more := make([]byte, min(n-uint64(len(field)), step))
		if _, err := io.ReadFull(br, more); err != nil {
			return nil, err
		}
		field = append(field, more...)
	}
	return field, nil
}
